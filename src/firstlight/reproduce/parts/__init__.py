"""The parts of the reproduction, in the order of the paper."""

from firstlight.reproduce.parts import table_1
from firstlight.reproduce.section import Part

__all__ = ["PARTS"]

#: All parts, in the order of the page.
PARTS: tuple[Part, ...] = (table_1.PART,)
