"""A versioned model folder, whose ``manifest.json`` lists every file with size and SHA-256.

This module does not know the content of the files. Nothing in a bundle is ever executed.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from firstlight._version import __version__
from firstlight.errors import BundleError, BundleVersionError
from firstlight.pipeline.signature import SIGNATURE_NAME, check_signature, write_signature
from firstlight.storage import AGAIN, parse_json, read_bytes

FORMAT_VERSION = 1  # raise it when an older firstlight could misread a newer bundle
MANIFEST_NAME = "manifest.json"

_MARK = "firstlight_bundle"  # key of the manifest that identifies a bundle
_FINGERPRINT_DIGITS = 12  # 48 bits: no collision among thousands of bundles
_MOST_FILES = 1000
_LARGEST = 4 << 30  # bytes of all files; ours have 6 MB
_RESERVED = frozenset({MANIFEST_NAME, SIGNATURE_NAME})
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Size [byte] and SHA-256 (64 hexadecimal digits) of one file of a bundle."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Description of a bundle."""

    kind: str  # kind of content, such as ``firstlight-pipeline``
    format_version: int  # see `FORMAT_VERSION`
    firstlight_version: str  # version of the package that wrote it
    created: str  # time of writing, ISO 8601, UTC
    # free description, plain JSON, without a checksum: nothing that changes a prediction
    info: Mapping[str, Any]
    files: Mapping[str, FileRecord]  # every file by its path within the folder, with forward slashes

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits of the names and contents of the files, to name the model."""
        digest = hashlib.sha256()
        for name in sorted(self.files):
            digest.update(f"{name}\0{self.files[name].sha256}\n".encode())
        return digest.hexdigest()[:_FINGERPRINT_DIGITS]


def write_bundle(
    folder: str | Path, kind: str, info: Mapping[str, Any], write: Callable[[Path], None]
) -> Manifest:
    """Write a bundle as a whole or not at all; an older one is replaced once the new one is complete.

    `write` is called with an empty folder and fills it with files. They are flushed to disk
    and moved into place by renaming. Raises BundleError, and changes nothing, if `folder`
    exists and is not a bundle, if `write` leaves no file, a link or a file named
    ``manifest.json``, or if `info` is not plain JSON.
    """
    target = Path(folder).absolute()
    target = target.resolve() if target.is_symlink() else target
    _refuse_foreign(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(target, "partial")
    partial.mkdir()
    try:
        write(partial)
        manifest = Manifest(
            kind=kind,
            format_version=FORMAT_VERSION,
            firstlight_version=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            info=_frozen(info, target),
            files=_describe(partial, target),
        )
        (partial / MANIFEST_NAME).write_text(_to_json(manifest), encoding="utf-8")
        _flush(partial)
        _refuse_foreign(target)  # `write` may have taken hours
        _move_into_place(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def open_bundle(
    folder: str | Path, *, kind: str | None = None, public_key: str | Path | None = None
) -> Manifest:
    """Manifest of a bundle of the given kind, every file of which was verified.

    With a public key (a PEM file) the manifest must be signed with its private key. Raises
    BundleVersionError for the format of a newer firstlight, and BundleError for another kind, a
    missing or wrong signature, and a file that is missing, changed or not in the manifest.
    """
    root = Path(folder)
    content = _manifest_bytes(root)
    if public_key is not None:
        check_signature(root, content, Path(public_key))
    manifest = _parse(root, content)
    if kind is not None and manifest.kind != kind:
        raise BundleError(f"{root}: a bundle of kind {manifest.kind!r}, but {kind!r} is needed here")
    present = {name for name, _ in _files(root, root)} - {MANIFEST_NAME, SIGNATURE_NAME}
    added = sorted(present - set(manifest.files))
    if added:
        raise BundleError(
            f"{root}: file {added[0]!r} is not in the manifest; remove it, or fetch the bundle again"
        )
    for name, record in manifest.files.items():
        if name not in present:
            raise BundleError(f"{root}: file {name!r} is missing; {AGAIN}")
        if not _is_as_recorded(root / name, record):
            raise BundleError(f"{root}: file {name!r} has changed (sha256 differs); {AGAIN}")
    return manifest


def sign_bundle(folder: str | Path, private_key: str | Path) -> str:
    """Sign a bundle, every file of which is verified before; the name of the key.

    An older signature is replaced. Raises BundleError if the bundle is damaged or ships with firstlight,
    and SettingsError for a file without an Ed25519 private key.
    """
    root = Path(folder)
    if root.resolve() in {path.resolve() for path in shipped_bundles().values()}:
        raise BundleError(f"{root}: this bundle ships with firstlight; copy its folder and sign the copy")
    content = _manifest_bytes(root)
    open_bundle(root)
    return write_signature(root, content, Path(private_key))


def read_manifest(folder: str | Path) -> Manifest:
    """Manifest of a bundle, without verifying the files; its names are safe to join to `folder`.

    Raises BundleVersionError for a newer format, BundleError if `folder` is not a bundle or
    its manifest is damaged.
    """
    root = Path(folder)
    return _parse(root, _manifest_bytes(root))


def shipped_bundles() -> dict[str, Path]:
    """Names and folders of the bundles that ship with firstlight."""
    folder = Path(str(resources.files("firstlight") / "models"))
    return {path.name: path for path in sorted(folder.glob("*")) if is_bundle(path)}


def find_bundle(source: str | Path | None = None) -> Path:
    """Folder of a bundle, by path or by a name of `shipped_bundles`; BundleError if there is neither.

    Examples
    --------
    >>> find_bundle("default").name
    'default'
    """
    shipped = shipped_bundles()
    name = "default" if source is None else str(source)
    if source is not None and Path(source).is_dir():
        return Path(source)
    if name not in shipped:
        raise BundleError(
            f"no bundle {name!r}: no such folder, and the shipped ones are {', '.join(shipped) or 'none'}; "
            "train one with `firstlight train --out FOLDER`"
        )
    return shipped[name]


def is_bundle(folder: str | Path) -> bool:
    """Whether a folder has the manifest of a bundle, of any format; its files are not verified."""
    try:
        return _MARK in parse_json(_manifest_bytes(Path(folder)), folder)
    except BundleError:
        return False


# --- writing ------------------------------------------------------------------


def check_destination(folder: str | Path) -> None:
    """Raise BundleError for a folder that `write_bundle` would refuse, before any work is done."""
    target = Path(folder).absolute()
    _refuse_foreign(target)
    parent = next(path for path in target.parents if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise BundleError(f"{target}: {parent} is not a writable folder; choose another folder")


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise BundleError(f"{target}: this is a file; choose another name for the bundle")
    if any(target.iterdir()) and not is_bundle(target):
        raise BundleError(f"{target}: this folder has files but is not a bundle; choose another folder")


def _beside(target: Path, role: str) -> Path:
    # The same parent, hence the same file system, where renaming is atomic.
    return target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}.{role}"


def _move_into_place(partial: Path, target: Path) -> None:
    """Replace a folder; the old one is restored if that fails."""
    old = _beside(target, "old")
    had_old = target.exists()
    if had_old:
        os.rename(target, old)
    try:
        os.rename(partial, target)
    except OSError:
        if had_old and not target.exists():
            os.rename(old, target)
        raise
    _flush_folder(target.parent)
    if had_old:
        shutil.rmtree(old, ignore_errors=True)


def _describe(partial: Path, target: Path) -> Mapping[str, FileRecord]:
    files = {name: _record(path) for name, path in sorted(_files(partial, target))}
    for name in _RESERVED & set(files):
        raise BundleError(f"{target}: {name} is reserved; give that file another name")
    if not files:
        raise BundleError(f"{target}: no file was written")
    for name in files:
        try:
            _safe_name(name)
        except ValueError as error:
            raise BundleError(f"{target}: {error}") from error
    return files


def _frozen(info: Mapping[str, Any], target: Path) -> Mapping[str, Any]:
    """The mapping as it will be read back; BundleError if it is not plain JSON."""
    try:
        return dict(json.loads(json.dumps(dict(info), allow_nan=False)))
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{target}: info must be plain JSON without NaN ({error})") from error


def _to_json(manifest: Manifest) -> str:
    table = {
        _MARK: manifest.format_version,
        "kind": manifest.kind,
        "firstlight_version": manifest.firstlight_version,
        "created": manifest.created,
        "fingerprint": manifest.fingerprint,  # for information; readers compute it
        "info": dict(manifest.info),
        "files": {name: {"size": r.size, "sha256": r.sha256} for name, r in manifest.files.items()},
    }
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _flush(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(Path(parent) / name, "rb") as file:
                os.fsync(file.fileno())
        _flush_folder(Path(parent))


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and need not be
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading ------------------------------------------------------------------


def _manifest_bytes(root: Path) -> bytes:
    path = root / MANIFEST_NAME
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{root}: not a bundle (no {MANIFEST_NAME}){_left_over(root)}")
    return read_bytes(path)


def _parse(root: Path, content: bytes) -> Manifest:
    table = parse_json(content, root / MANIFEST_NAME)
    found = table.get(_MARK)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise BundleError(f"{root}: {MANIFEST_NAME} is not of a firstlight bundle")
    if found > FORMAT_VERSION:
        raise BundleVersionError(
            f"{root}: bundle format {found}, this firstlight reads up to {FORMAT_VERSION}; "
            "upgrade with `pip install -U firstlight`"
        )
    try:
        return _to_manifest(table, found)
    except (KeyError, ValueError) as error:
        raise BundleError(f"{root}: {MANIFEST_NAME} is damaged ({error}); {AGAIN}") from error


def _to_manifest(table: dict[str, Any], format_version: int) -> Manifest:
    """The manifest in a JSON object; KeyError or ValueError if it is damaged."""
    names = ("kind", "firstlight_version", "created")
    for key, kind in (*((name, str) for name in names), ("info", dict), ("files", dict)):
        if not isinstance(table[key], kind):
            raise ValueError(f"{key} is of the wrong type")
    files = {_safe_name(name): _to_record(value) for name, value in table["files"].items()}
    size = sum(record.size for record in files.values())
    if len(files) > _MOST_FILES or size > _LARGEST:
        raise ValueError(
            f"{len(files)} files of {size} bytes; at most {_MOST_FILES} files of {_LARGEST} bytes"
        )
    kind, written_by, created = (table[name] for name in names)
    return Manifest(
        kind=kind,
        format_version=format_version,
        firstlight_version=written_by,
        created=created,
        info=table["info"],
        files=files,
    )


def _left_over(root: Path) -> str:
    """Hint for a replacement that was interrupted between its two renames."""
    if root.exists() or not root.parent.is_dir():
        return ""
    beside = sorted(path.name for path in root.parent.iterdir())
    old = [name for name in beside if name.startswith(f".{root.name}.") and name.endswith(".old")]
    return f"; an interrupted replacement left {old[-1]!r} beside it, rename it back" if old else ""


def _files(root: Path, shown: Path) -> Iterator[tuple[str, Path]]:
    """Every regular file below a folder with its relative name; links are refused."""
    n_seen = 0
    for parent, folders, names in os.walk(root):
        n_seen += len(folders) + len(names)
        if n_seen > 2 * _MOST_FILES:
            raise BundleError(f"{shown}: more than {_MOST_FILES} files and folders; a bundle has fewer")
        for name in (*folders, *names):
            path = Path(parent) / name
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise BundleError(f"{shown}: {name!r} is not a plain file; a bundle has only plain files")
        for name in names:
            path = Path(parent) / name
            yield path.relative_to(root).as_posix(), path


def _safe_name(name: str) -> str:
    """The name itself, unless it could lead out of the folder on some system."""
    inside = not any(part in ("", ".", "..") for part in name.split("/"))
    if not inside or name in _RESERVED or not name.isprintable() or any(c in name for c in "\\:"):
        raise ValueError(f"file name {name!r} is not allowed in a bundle")
    return name


def _to_record(value: Any) -> FileRecord:
    if not isinstance(value, dict):
        raise ValueError("a file is described by its size and sha256")
    size, sha256 = value["size"], value["sha256"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("the size of a file is not a number of bytes")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
        raise ValueError("the sha256 of a file is not 64 hexadecimal digits")
    return FileRecord(size, sha256)


def _is_as_recorded(path: Path, record: FileRecord) -> bool:
    """Whether a file has its size and digest; the size first, as a file may have grown without bound."""
    try:
        return path.stat().st_size == record.size and _record(path) == record
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error


def _record(path: Path) -> FileRecord:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(os.fstat(file.fileno()).st_size, digest.hexdigest())
