"""The state of the stream as numbers: rates, delays, classes per hour, dead letters, the worker."""

import math
import time
from datetime import UTC, datetime
from typing import Any

from firstlight.constants import MJD_OF_1970
from firstlight.serve.desk import Desk
from firstlight.stream.results.rank import latest_credible


def health_of(desk: Desk) -> dict[str, Any]:
    """Everything about the stream, for the page and the API.

    Keys
    ----
    results
        Counts of the input: records, objects, repeated and refused ones, rate, time since the last, delay.
    hours
        Records of each class per hour of arrival, the oldest first.
    dead_letters
        Messages that the worker set aside, by kind and reason; null if they are not read.
    worker
        The worker's own report; null if its address was not given.
    problems
        Warnings for an observer.
    """
    now = time.time()
    board, clock, refusals = desk.board, desk.clock, desk.parser.refusals
    delay = clock.delay()
    clock_mjd = now / 86400.0 + MJD_OF_1970
    times = board.times()
    newest = times.max(initial=-math.inf, where=times <= latest_credible(times, clock_mjd))
    return {
        "results": {
            "records": board.n_records,
            "objects": len(board),
            "bundles": board.bundles,
            "repeated": board.n_repeated,
            "refused": refusals.n,
            "refused_last": [{"place": place, "reason": reason} for place, reason in refusals.last],
            "thinned": board.n_thinned,
            "forgotten": board.n_forgotten,
            "gaps": desk.reader.n_gaps,
            "per_second": round(clock.rate(now), 2),
            "seconds_since_last": None if clock.last is None else round(now - clock.last, 1),
            "not_read": desk.reader.lag,
            "reading": not desk.reader.is_at_end,
            "delay_median_s": None if delay is None else round(delay[0], 3),
            "delay_99_s": None if delay is None else round(delay[1], 3),
            "newest_mjd": float(newest) if math.isfinite(newest) else None,
            "newest_age_days": round(clock_mjd - newest, 3) if math.isfinite(newest) else None,
        },
        "hours": [
            {
                "start": datetime.fromtimestamp(hour * 3600, UTC).isoformat(timespec="minutes"),
                "classes": dict(sorted(counts.items(), key=lambda item: -item[1])),
            }
            for hour, counts in clock.by_hour()
        ],
        "dead_letters": _letters(desk),
        "worker": _worker(desk),
        "problems": desk.problems(),
    }


def _letters(desk: Desk) -> dict[str, Any] | None:
    if desk.letter_reader is None:
        return None
    counts = desk.letters.by_reason.most_common()
    return {
        "n": desk.letters.n,
        "reasons": [{"kind": kind, "reason": reason, "n": n} for (kind, reason), n in counts],
    }


def _worker(desk: Desk) -> dict[str, Any] | None:
    if not desk.worker.address:
        return None
    state = desk.worker.state()
    seconds, batches = (
        state.counts.get(f"seconds_{name}", {}).get("batch", 0.0) for name in ("sum", "count")
    )
    return {
        "address": desk.worker.address,
        "problem": state.problem,
        "health": state.health,
        "skipped": state.counts.get("skipped", {}),
        "rejected": state.counts.get("rejected", {}),
        "dropped": state.counts.get("dropped", {}),
        "seconds_per_batch": round(seconds / batches, 4) if batches else None,
    }
