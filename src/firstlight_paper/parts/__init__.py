"""The parts of the reproduction, in the order of the page, and the stages that they share."""

from firstlight_paper.experiment import Part
from firstlight_paper.parts.architecture import ARCHITECTURE
from firstlight_paper.parts.baselines import BASELINES
from firstlight_paper.parts.cost import COST
from firstlight_paper.parts.gaps import GAPS
from firstlight_paper.parts.imbalance import IMBALANCE
from firstlight_paper.parts.new_survey import NEW_SURVEY
from firstlight_paper.parts.noise import NOISE
from firstlight_paper.parts.overlap import OVERLAP
from firstlight_paper.parts.per_class import PER_CLASS_PART, PROTOCOL
from firstlight_paper.parts.preprocessing import PREPROCESSING
from firstlight_paper.parts.rarity import RARITY
from firstlight_paper.parts.simulated import SIMULATED
from firstlight_paper.parts.table_1 import TABLE_1
from firstlight_paper.parts.training import TRAINING
from firstlight_paper.parts.tuning import TUNING
from firstlight_paper.stages import INPUTS, LATENTS, OURS

#: Stages first, then the parts in the order of the page.
PARTS: tuple[Part, ...] = (
    LATENTS,
    OURS,
    INPUTS,
    PROTOCOL,
    SIMULATED,
    PREPROCESSING,
    ARCHITECTURE,
    TABLE_1,
    TRAINING,
    TUNING,
    BASELINES,
    IMBALANCE,
    PER_CLASS_PART,
    OVERLAP,
    NOISE,
    GAPS,
    COST,
    RARITY,
    NEW_SURVEY,
)
