"""Settings of `adapt`."""

from dataclasses import dataclass, field

from firstlight.errors import SettingsError
from firstlight.pipeline.config import CopiesConfig


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a bundle is adapted.

    Attributes
    ----------
    folds : int
        Folds over the labelled objects.
    worth : tuple of float
        Values tried for the weight of all training objects of a class together, in labelled objects. That the
        labels train nothing is always tried, too.
    mixes : tuple of float
        Values tried for the strength of the labels' class mix: 0 keeps all classes alike, 1 is that mix.
    most_per_class : int
        Most training objects of a class that are observed again.
    anchors : int
        Training objects of a class beside which the labelled objects grow further trees.
    rounds, leaves : int
        Most boosting rounds and leaves of the trees on the re-observed training set.
    further_rounds, further_leaves : int
        The same of the trees that labelled objects add.
    further_rate : float
        Shrinkage of these.
    source_rounds : int
        Rounds in place of `further_rounds` where the labels are from several sources. Few are safer for a
        source that is not among them.
    own_share : float
        Share of the copies that are observed as the new survey sees the sky; the others as the surveys of
        the bundle do.
    training : CopiesConfig
        Copies of each training object.
    labels : CopiesConfig
        Copies of each labelled object.
    """

    folds: int = 5
    worth: tuple[float, ...] = (10.0, 100.0, 1000.0)
    mixes: tuple[float, ...] = (0.0, 0.5, 1.0)
    most_per_class: int = 800
    anchors: int = 150
    rounds: int = 80
    leaves: int = 31
    further_rounds: int = 25
    further_leaves: int = 15
    further_rate: float = 0.1
    source_rounds: int = 12
    own_share: float = 0.7
    training: CopiesConfig = field(
        default_factory=lambda: CopiesConfig(
            truncations=1, augmented=0, reobserved=2, wrong_redshift=0.05, artefacts=0.02
        )
    )
    labels: CopiesConfig = field(
        default_factory=lambda: CopiesConfig(
            truncations=3, augmented=1, reobserved=2, wrong_redshift=0.05, artefacts=0.02
        )
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.folds < 3:
            raise SettingsError(f"folds = {self.folds}: adapting needs three or more")
        if not self.worth or min(self.worth) <= 0.0 or not self.mixes or min(self.mixes) < 0.0:
            raise SettingsError("worth: one positive value or more; mixes: one value of 0 or more")
        counts = (self.most_per_class, self.anchors, self.rounds, self.further_rounds, self.source_rounds)
        if min(counts) < 1 or min(self.leaves, self.further_leaves) < 2:
            raise SettingsError("objects and rounds are 1 or more, leaves 2 or more")
        if not (0.0 <= self.own_share <= 1.0 and 0.0 < self.further_rate <= 1.0):
            raise SettingsError("own_share is a share from 0 to 1, further_rate above 0 and at most 1")
