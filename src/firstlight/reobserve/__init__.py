"""Training objects as other surveys would have seen them, at other redshifts."""

from firstlight.reobserve.copies import ReobserveConfig, reobserve
from firstlight.reobserve.surface import Surfaces

__all__ = ["ReobserveConfig", "Surfaces", "reobserve"]
