"""The supernova photometric classification challenge (SNPCC): light curves of another survey.

21,319 simulated supernovae in the bands *griz* of the Dark Energy Survey with the types of
all of them, and a flag for the 1,103 that a spectroscopic campaign would have followed: the
bright ones. Public since 2010 (Kessler et al. 2010, PASP 122, 1415, doi:10.1086/657607,
arXiv:1008.1024). The original is ``SIMGEN_PUBLIC_DES.tar.gz``, a folder with one text file per
object (doi:10.5281/zenodo.13883296, and https://github.com/COINtoolbox/ActSNClass); a pair
of Parquet files with the same content is read too.

Choices of the reader:

- DES *griz* count as LSST's *griz*, uncorrected: effective wavelengths differ by some 50
  Angstrom in g and up to about 500 in z.
- The flux zero point is 27.5 mag (``FLUXCAL = 10^(-0.4 mag + 11)``).
- No layout has detection flags, so an observation is a detection where |flux| > 5 flux_err.
- Fluxes are not corrected for Milky Way dust, as is SNANA's custom. The files agree: two
  fields of equal depth with E(B-V) of 0.028 and 0.071 have the same noise in g within 1 %,
  where a correction would have raised it by 16 %.
- The Parquet files lack the error of the host's photometric redshift; it is `PHOTO_Z_ERR`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from firstlight._types import BoolArray, FloatArray, IntArray, StrArray
from firstlight.bands import SNANA_ZERO_POINT
from firstlight.data.parquet import parquet_errors, read_parquet
from firstlight.errors import DataError
from firstlight.lightcurves import Intake, LightCurves, MetadataTable, RawTable, RejectLog
from firstlight.lightcurves.foreign.objects import known_values
from firstlight.lightcurves.foreign.raw import NEEDED
from firstlight.lightcurves.foreign.values import names_of
from firstlight.lightcurves.names import require_columns
from firstlight.taxonomy import from_snpcc
from firstlight.text import number_in

#: Scatter of the host's photometric redshift about the spectroscopic one, over the 1,103
#: supernovae that have both (1.48 times the median deviation; standard deviation 0.033).
PHOTO_Z_ERR = 0.03

_WHERE_FROM = (
    "unpack SIMGEN_PUBLIC_DES.tar.gz (doi:10.5281/zenodo.13883296, or "
    "https://github.com/COINtoolbox/ActSNClass) and give its folder"
)
_ROWS = ("snid", "mjd", "band", "fluxcal", "fluxcalerr")
_OBJECTS = ("snid", "sntype", "sim_type", "host_photoz", "z_spec", "mwebv")
_UNKNOWN = -9.0  # SNANA's word for "not known"
_TYPE = re.compile(r"SN Type\s*=\s*(\w+)")
_TEXT_ROWS = ("MJD", "FLT", "FLUXCAL", "FLUXCALERR")


@dataclass(frozen=True, slots=True, eq=False)
class Snpcc:
    """Light curves of the challenge with their answer key."""

    curves: LightCurves  # raw (not `dereddened`) fluxes; the host redshift in use is the photometric one
    labels: StrArray  # (n_objects,); class of each: ``SNIa``, ``SNII`` or ``SNIbc``
    spectroscopic: BoolArray  # (n_objects,); true for the bright sample whose type a spectrum gave

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Described:
    """Metadata of the objects, and apart from them the answer key."""

    table: MetadataTable
    sim_type: StrArray
    spectroscopic: BoolArray


def read_snpcc(folder: str | Path, rejects: RejectLog | None = None) -> Snpcc:
    """Read the whole data set.

    Parameters
    ----------
    folder : path
        With the text files ``DES_SN*.DAT`` of the original, or with one Parquet file
        ``*lightcurves*.parquet`` (columns ``snid, mjd, band, fluxcal, fluxcalerr``) and one
        ``*metadata*.parquet`` (``snid, sntype, sim_type, host_photoz, z_spec, mwebv``).
    rejects : RejectLog, optional
        Takes bad rows and objects, each with its reason; the rest is read. One object of the
        public release has 20 observations of error -9, which go there.

    Returns
    -------
    Snpcc
        Objects in order of their first row, or of their file names.

    Raises
    ------
    MissingColumnError, UnknownClassError, DataError
        If a column is missing, a type is none of the challenge's, or the folder is not that of
        the data set (the message names its source); without `rejects`, for the first bad row or object.
    """
    folder = Path(folder)
    texts = sorted(folder.glob("*.DAT"))
    if texts:
        raw, described = _read_texts(texts, Intake(str(folder), rejects))
    else:
        light_curves, metadata = (_only(folder, kind) for kind in ("lightcurves", "metadata"))
        raw = _parquet_raw(light_curves, SNANA_ZERO_POINT)
        described = _parquet_objects(Intake(str(metadata), rejects))
        folder = light_curves
    curves = Intake(str(folder), rejects).read(raw, described.table)
    described.table.refuse_unmet()
    where = described.table.find(curves.object_id)
    labels = np.array(from_snpcc(described.sim_type[where].tolist()), dtype=np.str_)
    return Snpcc(curves, labels, described.spectroscopic[where])


def read_snpcc_curves(
    light_curves: str | Path,
    metadata: str | Path | None = None,
    rejects: RejectLog | None = None,
    zero_point: float = SNANA_ZERO_POINT,
    dereddened: bool = False,
) -> LightCurves:
    """Light curves of the Parquet layout without the answer key, in order of first appearance.

    Without metadata, redshifts and E(B-V) are NaN. `zero_point` is the AB zero point of the fluxes [mag].
    Raises as `read_snpcc`.
    """
    raw = _parquet_raw(Path(light_curves), zero_point, dereddened)
    table = None if metadata is None else _parquet_objects(Intake(str(metadata), rejects)).table
    return Intake(str(light_curves), rejects).read(raw, table)


def is_snpcc(names: Iterable[str]) -> bool:
    """Whether a Parquet file's columns are those of SNPCC light curves."""
    return {"snid", "fluxcal", "fluxcalerr"} <= set(names)


# --- Parquet --------------------------------------------------------------------


def _only(folder: Path, kind: str) -> Path:
    """The one Parquet file of a kind in the folder."""
    found = sorted(folder.glob(f"*{kind}*.parquet"))
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} files *{kind}*.parquet" if found else f"neither *.DAT nor *{kind}*.parquet"
    raise DataError(f"{folder}: {what} in it; for SNPCC, {_WHERE_FROM}")


def _table(path: Path, columns: tuple[str, ...]) -> pa.Table:
    with parquet_errors(path, _WHERE_FROM):
        require_columns(pq.read_schema(path).names, columns, str(path))
        return read_parquet(path, columns).combine_chunks()


def _numbers(table: pa.Table, name: str, path: Path) -> FloatArray:
    try:
        return np.asarray(table[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowException as error:
        raise DataError(f"{path}: column {name!r} holds something that is no number ({error})") from error


def _parquet_raw(path: Path, zero_point: float, dereddened: bool = False) -> RawTable:
    """The light curves as they are written."""
    table = _table(path, _ROWS)
    columns = {our: table[theirs] for our, theirs in zip(NEEDED, _ROWS, strict=True)}
    return RawTable(columns, zero_point=zero_point, dereddened=dereddened)


def _parquet_objects(intake: Intake) -> _Described:
    path = Path(intake.file)
    table = _table(path, _OBJECTS)
    names = names_of(table["snid"])
    columns = {name: _numbers(table, name, path) for name in ("host_photoz", "z_spec", "mwebv", "sntype")}
    columns["host_photoz_err"] = np.full(len(names), PHOTO_Z_ERR)
    types = np.array([str(value) for value in table["sim_type"].to_pylist()], dtype=np.str_)
    return _described(names, columns, types, np.arange(len(names)), intake)


def _described(
    names: StrArray, columns: Mapping[str, FloatArray], types: StrArray, lines: IntArray, intake: Intake
) -> _Described:
    """Objects by name, the first of each; negative numbers mean unknown and become NaN."""
    distinct, first = np.unique(names, return_index=True)
    again = np.setdiff1d(np.arange(len(names)), first)
    intake.refuse("the object has an earlier row in the metadata", names[again], lines[again])
    seen = known_values(
        {
            "ebv": columns["mwebv"][first],
            "redshift": columns["host_photoz"][first],
            "redshift_err": columns["host_photoz_err"][first],
            "redshift_spec": columns["z_spec"][first],
        }
    )
    spectroscopic = columns["sntype"][first] > 0
    return _Described(MetadataTable(distinct, seen, lines[first], intake), types[first], spectroscopic)


# --- the original text files ----------------------------------------------------


def _read_texts(paths: list[Path], intake: Intake) -> tuple[RawTable, _Described]:
    """All ``.DAT`` files of a folder, one per object."""
    heads, bodies = [], []
    for path in paths:
        head, body = _read_text(path)
        heads.append(head)
        bodies.append(body)
    names = np.array([head["SNID"] for head in heads], dtype=np.str_)
    if len(np.unique(names)) != len(names):
        distinct, counts = np.unique(names, return_counts=True)
        raise DataError(f"{intake.file}: object {str(distinct[counts > 1][0])!r} has several files; keep one")
    cells = np.array([row for body in bodies for row in body], dtype=np.str_).reshape(-1, 5)
    owner = np.repeat(np.arange(len(names)), [len(body) for body in bodies])
    mjd, band, flux, flux_err = (cells[:, k] for k in range(4))
    raw = RawTable(
        {"object_id": names[owner], "mjd": mjd, "band": band, "flux": flux, "flux_err": flux_err},
        place=cells[:, 4].astype(np.int64),
        zero_point=SNANA_ZERO_POINT,
    )
    columns = {
        name: np.array([_number(head.get(key, "")) for head in heads])
        for name, key in (
            ("sntype", "SNTYPE"),
            ("mwebv", "MWEBV"),
            ("z_spec", "REDSHIFT_SPEC"),
            ("host_photoz", "HOST_GALAXY_PHOTO-Z"),
            ("host_photoz_err", "+-"),
        )
    }
    types = np.array([head["type"] for head in heads], dtype=np.str_)
    lines = np.full(len(names), -1)
    return raw, _described(names, columns, types, lines, intake)


def _read_text(path: Path) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    """Head of one file (first word of each value), and its rows: MJD, band, flux, error, line."""
    head: dict[str, str] = {}
    rows: list[tuple[str, ...]] = []
    order: list[int] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        key, _, value = line.partition(":")
        words = value.split()
        if key == "OBS":
            if not order or len(words) <= max(order):
                raise DataError(f"{path}, row {number}: the observation is cut short; unpack the file again")
            rows.append((*(words[k] for k in order), str(number)))
        elif key == "VARLIST":
            require_columns(words, _TEXT_ROWS, str(path))
            order = [words.index(name) for name in _TEXT_ROWS]
        elif key == "SIM_COMMENT" and (found := _TYPE.search(value)):
            head["type"] = found.group(1)
        elif words:
            head[key] = words[0]
            if key == "HOST_GALAXY_PHOTO-Z" and "+-" in words:
                head["+-"] = words[words.index("+-") + 1] if words[-1] != "+-" else ""
    absent = [name for name in ("SNID", "SNTYPE", "type") if name not in head]
    if absent or not order or (lines and not any(line.startswith("END:") for line in lines[-3:])):
        what = f"lacks {', '.join(absent)}" if absent else "has no whole table of observations"
        raise DataError(f"{path}: not a whole SNPCC file ({what}); unpack it again")
    return head, rows


def _number(word: str, otherwise: float = _UNKNOWN) -> float:
    try:
        return number_in(word)
    except ValueError:
        return otherwise
