"""How much of everything a reproduction computes: the whole, or a ten-minute version."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Amounts that all parts share; those of a single part are in its module."""

    name: str
    n_real: int | None  # all of them where None
    n_simulated: int  # of each class
    n_folds: int
    encoder_epochs: int  # at most
    preset: str  # ours, beside the paper's design

    @property
    def is_full(self) -> bool:
        """Whether everything is computed; every other scale counts as quick."""
        return self.name == FULL.name


#: About two hours on two cores.
FULL = Scale(name="full", n_real=None, n_simulated=200, n_folds=5, encoder_epochs=40, preset="default")

#: About ten minutes: the same parts, whose numbers mean little.
QUICK = Scale(name="quick", n_real=1500, n_simulated=40, n_folds=2, encoder_epochs=4, preset="quick")
