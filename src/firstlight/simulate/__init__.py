"""Light curves that were not observed: copies of real ones for training."""

from firstlight.simulate.augment import AugmentConfig, augment, truncate

__all__ = ["AugmentConfig", "augment", "truncate"]
