"""Context of every trial of the reproduction: objects, scale, seed and folders."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from firstlight_paper.objects import Objects, make_objects
from firstlight_paper.scale import Scale


@dataclass(frozen=True, kw_only=True)
class Context:
    """Settings of one run; travels to other processes as it is."""

    folder: Path  # results are in ``reproduction``, models in ``work``
    scale: Scale
    seed: int = 0
    source: Path | None = None  # the PLAsTiCC training set; by default the cache
    snpcc: Path | None = None  # the SNPCC light curves, for the part ``new-survey``
    jobs: int = 1
    given: Objects | None = field(default=None, repr=False, compare=False)  # instead of those of `scale`

    @property
    def objects(self) -> Objects:
        """Real and simulated objects; made once per process."""
        return self.given or _objects(self.scale, self.seed, self.source)

    @property
    def results(self) -> Path:
        """Folder of the score table, its companions and the pictures."""
        return self.folder / "reproduction"

    def keep(self, stage: str) -> Path:
        """Folder for models and other large files of a stage."""
        folder = self.folder / "work" / stage
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def rng(self, *key: int | str) -> np.random.Generator:
        """An independent random stream for each key."""
        words = [part if isinstance(part, int) else int.from_bytes(part.encode()) % 2**63 for part in key]
        return np.random.default_rng([self.seed, *words])


@lru_cache(maxsize=1)
def _objects(scale: Scale, seed: int, source: Path | None) -> Objects:
    return make_objects(scale, seed, source)
