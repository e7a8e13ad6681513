"""Search spaces: the settings of a classifier that `firstlight tune` may change, and their ranges."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from firstlight.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Tunable:
    """A setting that a search may change.

    Attributes
    ----------
    name : str
        Name of the setting in its table of the preset.
    words : str
        Its name in tables and figures.
    low, high : float
        Range of the search, ends included.
    log : bool
        Whether the search is on a logarithmic scale.
    integer : bool
        Whether only integers make sense.
    least : float
        Smallest value that makes sense; other ranges than `low` to `high` may not go below.
    default : float, optional
        Value where the preset states none; only settings of other packages' classifiers need it.

    Raises
    ------
    SettingsError
        If the range makes no sense.
    """

    name: str
    words: str
    low: float
    high: float
    log: bool = False
    integer: bool = False
    least: float = -math.inf
    default: float | None = None

    def __post_init__(self) -> None:
        whole = not self.integer or (float(self.low).is_integer() and float(self.high).is_integer())
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        if not (finite and whole and self.least <= self.low < self.high and (self.low > 0.0 or not self.log)):
            raise SettingsError(f"{self.name} from {self.low:g} to {self.high:g} is not a range to search")


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The settings of a table that a search may change, and those that are fixed during the search.

    Raises SettingsError if a name occurs twice.
    """

    settings: tuple[Tunable, ...]
    # settings of the same table with the value that they have in every trial and in the tuned preset
    fixed: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [setting.name for setting in self.settings]
        if len(set(names)) < len(names):
            raise SettingsError(f"a search space names a setting twice: {', '.join(names)}")
