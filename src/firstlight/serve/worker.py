"""`WorkerHealth`: state and metrics of the worker, from its own ``/health`` and ``/metrics``."""

import json
import re
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from firstlight.errors import SettingsError

_TIMEOUT_S = 2.0
_KEPT_S = 4.0  # for so long an answer is shown before the next is fetched
_MOST_BYTES = 1 << 20
_SAMPLE = re.compile(r'firstlight_(\w+?)(?:_total)?(?:\{\w+="((?:[^"\\]|\\.)*)"\})? ([-+.\deE]+)')


@dataclass(frozen=True, slots=True)
class WorkerState:
    """The report of a worker; `problem` is why it could not be reached."""

    health: dict[str, object] = field(default_factory=dict)
    counts: dict[str, dict[str, float]] = field(default_factory=dict)  # by name, then by label ("" for none)
    problem: str = ""


class WorkerHealth:
    """Fetches the state of a worker, at most once in some seconds; an empty address means none."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        if address and urlsplit(address).scheme not in ("http", "https"):
            raise SettingsError(f"--worker {address}: give its address, such as http://127.0.0.1:9108")
        self._lock = threading.Lock()
        self._kept, self._until = WorkerState(), 0.0

    def state(self) -> WorkerState:
        """The newest state; may wait for two seconds."""
        if not self.address:
            return WorkerState()
        with self._lock:
            if time.monotonic() >= self._until:
                self._kept = self._fetched()
                self._until = time.monotonic() + _KEPT_S
            return self._kept

    def _fetched(self) -> WorkerState:
        try:
            health = json.loads(self._get("/health"))
            samples = self._get("/metrics").decode("utf-8", "replace")
        except (OSError, ValueError) as error:
            return WorkerState(problem=f"the worker at {self.address} does not answer: {error}")
        if not isinstance(health, dict):
            return WorkerState(problem=f"{self.address}/health is not that of a worker")
        counts: dict[str, dict[str, float]] = {}
        for name, label, value in _SAMPLE.findall(samples):
            try:
                counts.setdefault(name, {})[label] = float(value)
            except ValueError:
                continue
        return WorkerState(health, counts)

    def _get(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(self.address + path, timeout=_TIMEOUT_S) as answer:
                return bytes(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            if error.code == 503:  # a worker that waits or is stuck says so
                return error.read(_MOST_BYTES)
            raise
