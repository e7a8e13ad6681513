"""Redshifts from outside in a running worker: read again between batches when their file changes."""

import logging
from collections.abc import Callable

from firstlight.hosts import Hosts
from firstlight.stream.worker.logging import log


def refresher(hosts: Hosts) -> Callable[[], None]:
    """What the worker calls before each batch."""

    def refresh() -> None:
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
