"""A bundle adapted to a survey: its encoder and features kept, its trees grown again with labels of there."""

from firstlight.adapt.config import AdaptConfig
from firstlight.adapt.run import Adapted, adapt

__all__ = ["AdaptConfig", "Adapted", "adapt"]
