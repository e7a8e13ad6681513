"""Training objects as other surveys would have seen them, at other redshifts, and simulated ones."""

from firstlight.reobserve.copies import ReobserveConfig, reobserve
from firstlight.reobserve.simulated import SimulatedConfig, is_simulated, simulate_views
from firstlight.reobserve.surface import Surfaces

__all__ = ["ReobserveConfig", "SimulatedConfig", "Surfaces", "is_simulated", "reobserve", "simulate_views"]
