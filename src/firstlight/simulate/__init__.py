"""Light curves that were not observed: copies of real ones for training, and simulated transients."""

from firstlight.simulate.augment import AugmentConfig, augment, misstate, spoil, truncate
from firstlight.simulate.populations import POPULATIONS
from firstlight.simulate.transients import (
    SIMULATED_PREFIX,
    SimulateConfig,
    SimulatedSet,
    simulate,
    simulate_classes,
)

__all__ = [
    "POPULATIONS",
    "SIMULATED_PREFIX",
    "AugmentConfig",
    "SimulateConfig",
    "SimulatedSet",
    "augment",
    "misstate",
    "simulate",
    "simulate_classes",
    "spoil",
    "truncate",
]
