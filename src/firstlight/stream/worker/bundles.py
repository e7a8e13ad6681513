"""The bundles that answer, with the record format and the routes for their classes."""

from collections.abc import Sequence
from dataclasses import dataclass

from firstlight.errors import SettingsError
from firstlight.stream.results.record import ResultFormat
from firstlight.stream.routes.routes import Route
from firstlight.stream.state.rows import MOST_BUNDLES, Owner
from firstlight.stream.worker.answer import LivePipeline


@dataclass(frozen=True)
class Answering:
    """The bundles that answer, with the encoding of records and the routes for the classes of the first one.

    SettingsError if two of them are the same, or there are more than `MOST_BUNDLES`.

    Attributes
    ----------
    pipelines : tuple of LivePipeline
        The first one is in charge: its answer is the record, with those of the others in ``others``.
    form : ResultFormat
        Encoding of records.
    routes : tuple of Route
        Where records that pass a filter go besides the sink.
    """

    pipelines: tuple[LivePipeline, ...]
    form: ResultFormat
    routes: tuple[Route, ...] = ()

    def __post_init__(self) -> None:
        check_bundles(self.versions)

    @property
    def versions(self) -> tuple[str, ...]:
        """Fingerprints of the bundles."""
        return tuple(pipeline.bundle_version for pipeline in self.pipelines)

    @property
    def owners(self) -> tuple[Owner, ...]:
        """The bundles with the sizes of their states, for the stores."""
        sizes = (pipeline.states([]).data.dtype.itemsize for pipeline in self.pipelines)
        return tuple(map(Owner, self.versions, sizes))


def check_bundles(versions: Sequence[str]) -> None:
    """Raise SettingsError if two of the bundles are the same, or they are too many."""
    twice = sorted({version for version in versions if versions.count(version) > 1})
    if twice:
        raise SettingsError(f"two of the bundles are the same (version {twice[0]}); give each bundle once")
    if len(versions) > MOST_BUNDLES:
        raise SettingsError(
            f"{len(versions)} bundles are too many: at most {MOST_BUNDLES} answer side by side"
        )
