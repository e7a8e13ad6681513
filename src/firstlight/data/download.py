"""One file over HTTP: resumed where it stopped, retried, and checked before it gets its name.

The bytes gather in ``NAME.part`` beside the target; ``NAME.part.tag`` holds the version of the file
to which they belong, so that a resumed download never joins two versions.
"""

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firstlight.errors import FetchError

Advance = Callable[[int, int | None], None]  # bytes so far, bytes in all where known
_BLOCK = 1 << 20
_AGENT = {"User-Agent": "firstlight"}
#: Answers that another try may change (RFC 9110): time-outs, overload, server faults.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Checksum:
    """Expected digest of a file: its hexadecimal digits by ``sha256`` or ``md5``.

    Zenodo publishes md5, which detects damage, not malice.
    """

    kind: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How persistently to try."""

    attempts: int = 5  # tries without any new byte before giving up
    pause: float = 1.0  # wait before the second try [s]; it doubles with each further one
    timeout: float = 30.0  # longest silence of the server [s]


class _CutShortError(OSError):
    """The connection ended before the file did."""


def download(
    url: str,
    path: Path,
    *,
    checksum: Checksum | None = None,
    retry: Retry | None = None,
    advance: Advance | None = None,
) -> Path:
    """Download an HTTP(S) `url` to `path`, which appears once whole and checked.

    Partial bytes stay beside it for the next call; `advance` gets the bytes so far and in all. Raises
    FetchError if the server refuses, cannot be reached, or sends bytes of the wrong checksum (which
    are deleted).
    """
    if not url.startswith(("https://", "http://")):
        raise FetchError(f"{url}: not an HTTP address")
    retry = retry or Retry()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _persist(lambda: _resume(url, part, retry.timeout, advance), url, retry, lambda: _size(part))
    if checksum is not None and (found := digest_of(part, checksum.kind)) != checksum.digest:
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise FetchError(
            f"{url}: {checksum.kind} is {found}, not {checksum.digest}; the bytes were discarded, try again"
        )
    part.replace(path)
    _tag(part).unlink(missing_ok=True)
    return path


def fetch_text(url: str, *, retry: Retry | None = None) -> str:
    """A small text over HTTP; raises FetchError if the server refuses or cannot be reached."""
    retry = retry or Retry()
    answer: list[str] = []

    def once() -> None:
        request = urllib.request.Request(url, headers=_AGENT)
        with urllib.request.urlopen(request, timeout=retry.timeout) as response:
            answer[:] = [response.read().decode("utf-8", errors="replace")]

    _persist(once, url, retry, lambda: 0)
    return answer[0]


def digest_of(path: Path, kind: str = "sha256") -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        digest = hashlib.new(kind, usedforsecurity=False)
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _persist(once: Callable[[], None], url: str, retry: Retry, progress: Callable[[], int]) -> None:
    """Run `once` until it succeeds, with growing pauses; new bytes reset the count of failures."""
    failures = 0
    while True:
        before = progress()
        try:
            once()
            return
        except urllib.error.HTTPError as error:
            reason, hopeless = f"HTTP {error.code} {error.reason}", error.code not in _PASSING
            error.close()
        except (OSError, http.client.HTTPException) as error:
            reason, hopeless = str(getattr(error, "reason", None) or error), False
        failures = 1 if progress() > before else failures + 1
        if hopeless or failures >= retry.attempts:
            tries = "" if hopeless else f" ({failures} tries without a byte)"
            raise FetchError(f"{url}: {reason}{tries}")
        time.sleep(retry.pause * 2 ** (failures - 1))


def _resume(url: str, part: Path, timeout: float, advance: Advance | None) -> None:
    """Append the missing bytes to `part`, or start over where the server cannot resume."""
    have, tag = _size(part), _read_tag(part)
    headers = dict(_AGENT)
    if have and tag:
        headers |= {"Range": f"bytes={have}-", "If-Range": tag}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        error.close()
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return  # it was complete, only not yet checked and named
        part.unlink(missing_ok=True)
        raise _CutShortError("the partial file is longer than the source; starting over") from error
    with response:
        resumed = response.status == 206 and _starts_at(response, have)
        if response.status == 206 and not resumed:
            part.unlink(missing_ok=True)
            raise _CutShortError("the server resumed elsewhere; starting over")
        have = have if resumed else 0
        _write_tag(part, response)
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        with open(part, "ab" if resumed else "wb") as out:
            while block := response.read(_BLOCK):
                out.write(block)
                have += len(block)
                if advance is not None:
                    advance(have, total)
    if total is not None and have < total:
        raise _CutShortError(f"the connection ended after {have} of {total} bytes")


def _starts_at(response: Any, have: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".tag")


def _read_tag(part: Path) -> str:
    tag = _tag(part)
    return tag.read_text(encoding="ascii") if tag.exists() else ""


def _write_tag(part: Path, response: Any) -> None:
    """Remember the version; a weak or absent validator cannot promise equal bytes."""
    strong = response.headers.get("ETag", "")
    tag = response.headers.get("Last-Modified", "") if not strong.startswith('"') else strong
    if tag.isascii() and tag:
        _tag(part).write_text(tag, encoding="ascii")
    else:
        _tag(part).unlink(missing_ok=True)
