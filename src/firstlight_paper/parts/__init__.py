"""The parts of the reproduction, in the order of the paper."""

from firstlight_paper.parts import (
    architecture,
    baselines,
    cost,
    gaps,
    imbalance,
    new_survey,
    noise,
    overlap,
    per_class,
    preprocessing,
    rarity,
    simulated,
    table_1,
    training,
    tuning,
)
from firstlight_paper.section import Part

__all__ = ["PARTS"]

#: All parts, in the order of the page.
PARTS: tuple[Part, ...] = (
    simulated.PART,
    preprocessing.PART,
    architecture.PART,
    table_1.PART,
    training.PART,
    tuning.PART,
    baselines.PART,
    imbalance.PART,
    per_class.PART,
    overlap.PART,
    noise.PART,
    gaps.PART,
    cost.PART,
    rarity.PART,
    new_survey.PART,
)
