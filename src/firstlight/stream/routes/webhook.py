"""A sink that sends each record to a web service, by POST of JSON."""

import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from firstlight._version import __version__
from firstlight.errors import SettingsError, UnavailableError
from firstlight.stream.io.sinks import RefusedError

_log = logging.getLogger(__name__)

#: Requests at one time.
REQUESTS = 8
#: Answers after which the same request may succeed later.
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})

Entry = tuple[bytes, bytes]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET without its body."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Take the redirect for an answer that is no success."""


class WebhookSink:
    """Sends JSON values by POST, several at a time; each at least once.

    A service that is away, or answers that it is busy, is tried again until `retry_s` [s] have passed since
    it last took something; then records are given up (`RefusedError`) at once until it takes one again.
    Any other answer than success gives its record up. The header ``Idempotency-Key`` is a digest of key and
    value, equal when the same record is sent again. `url` is never shown; SettingsError if it is none of
    http or https.
    """

    truncates = False

    def __init__(
        self,
        name: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        retry_s: float = 60.0,
        timeout_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                f"route {name}: a webhook needs an address http://HOST/... or https://HOST/..."
            )
        self.name = f"route {name}"
        self._host = parts.hostname
        self._url = url
        self._headers = {"User-Agent": f"firstlight/{__version__}"} | dict(headers or {})
        self._headers["Content-Type"] = "application/json"
        self._retry_s, self._timeout_s, self._clock = retry_s, timeout_s, clock
        self._pending: list[Entry] = []
        self._tried: list[Entry] = []  # those of the last failed flush, which come again
        self._done: dict[int, str] = {}  # of them those that were sent, or refused with a reason
        self._failing_since: float | None = None
        self._n_sent = 0
        self._open = urllib.request.build_opener(_NoRedirect).open
        self._threads = ThreadPoolExecutor(REQUESTS, "webhook")

    def write(self, records: Sequence[Entry]) -> None:
        """See `ResultSink`; records are sent by the next `flush`."""
        self._pending += records

    def flush(self) -> int:
        """See `ResultSink`; UnavailableError while the service may still come back."""
        entries, self._pending = self._pending, []
        done = self._done if entries == self._tried else {}
        self._tried, self._done = [], {}
        left = [number for number in range(len(entries)) if number not in done]
        away = ""
        for number, (reason, may_come) in zip(
            left, self._threads.map(self._send, [entries[number] for number in left]), strict=True
        ):
            if may_come:
                away = reason
            else:
                done[number] = reason
                self._failing_since = None
        if away:
            now = self._clock()
            self._failing_since = self._failing_since if self._failing_since is not None else now
            if now - self._failing_since < self._retry_s:
                self._tried, self._done = entries, done
                raise UnavailableError(f"{self.name}: {self._host} {away}")
            done = {number: done.get(number, away) for number in range(len(entries))}
        self._n_sent += sum(not reason for reason in done.values())
        refused = {number: reason for number, reason in done.items() if reason}
        if refused:
            first = f"{self._host} {next(iter(refused.values()))}"
            raise RefusedError(self.name, [entries[number] for number in sorted(refused)], first)
        return self._n_sent

    def truncate(self, position: int) -> None:
        """A service cannot be cut."""

    def close(self) -> None:
        """See `ResultSink`; records that were not flushed are not sent."""
        self._threads.shutdown(cancel_futures=True)

    def _send(self, entry: Entry) -> tuple[str, bool]:
        """Why a value was not taken, empty if it was, and whether it may be taken later."""
        name, value = entry
        key = blake2b(name + b"\0" + value, digest_size=16).hexdigest()
        request = urllib.request.Request(
            self._url, value, self._headers | {"Idempotency-Key": key}, method="POST"
        )
        try:
            with self._open(request, timeout=self._timeout_s):
                return "", False
        except urllib.error.HTTPError as error:
            with error:
                return f"answers {error.code}", error.code in RETRIED
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            return f"cannot be reached ({type(reason).__name__})", True
