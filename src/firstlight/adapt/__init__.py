"""A bundle adapted to a survey: encoder and features are kept, trees are grown again with its labels."""

from firstlight.adapt.config import AdaptConfig
from firstlight.adapt.run import Adapted, adapt

__all__ = ["AdaptConfig", "Adapted", "adapt"]
