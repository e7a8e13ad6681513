"""Redshifts from outside in a running worker: a file that changes, look-ups that fail."""

import logging
from collections import Counter
from collections.abc import Callable

from firstlight.hosts import Hosts, UsedRedshifts
from firstlight.stream.worker.logging import log
from firstlight.stream.worker.metrics import Metrics


def refresher(hosts: Hosts) -> Callable[[], None]:
    """The context, as the worker calls it before each batch."""

    def refresh() -> None:
        """Read a file that changed again, and log how that went."""
        change = hosts.refresh()
        if change is None:
            return
        if change.error:
            log(
                logging.WARNING,
                "the context cannot be used; the former one goes on",
                error=change.error,
                version=change.version,
            )
            return
        log(
            logging.INFO,
            "the context was read again",
            file=str(change.path),
            rows=change.n_rows,
            version=change.version,
        )

    return refresh


def count_failures(used: UsedRedshifts, metrics: Metrics) -> None:
    """Count the alerts whose object could not be looked up, by the kind of error; log the first of each."""
    known = metrics.by_label("context_failures")
    first = dict(reversed([*used.failures.values()]))
    for kind, n in Counter(kind for kind, _ in used.failures.values()).items():
        metrics.count("context_failures", kind, n)
        if kind not in known:
            log(
                logging.WARNING,
                "the context fails for some objects; they are answered without it, and this kind of error "
                "is not logged again",
                kind=kind,
                n=n,
                first=first[kind],
            )
