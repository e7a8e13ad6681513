"""Cost per record of routes: filters alone, and the bodies of webhooks.

``python benchmarks/routes.py`` writes ``benchmarks/results/routes.json``. The records are those of the golden
test of the stream.
"""

import json
from collections.abc import Callable
from typing import Any

from _harness import ROOT, Times, parser, result, take_turns, write
from firstlight.stream.routes.filters import fields_of, parse_filter
from firstlight.stream.routes.routes import RouteConfig, _encoder
from firstlight.taxonomy import Taxonomy

FILTERS = {
    "one comparison": "KN > 0.5",
    "two comparisons": "KN > 0.5 and phase <= 3",
    "eight comparisons": "(KN > 0.5 and phase <= 3) or (SN-like > 0.8 and change > 0.5) or "
    "(anomaly > 0.99 and mag < 20) or (label in ['TDE', 'SLSN-I'] and slope < -0.1)",
}
BODY = {"text": "{object}: KN {KN:.0%} at {ra:.5f} {dec:+.5f}, {mag:.1f} mag in {band}"}
REPEATS = 50


def main() -> None:
    args = parser(__doc__, "routes").parse_args()
    lines = (ROOT / "tests" / "golden" / "stream_fast.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    fields = fields_of(Taxonomy())
    route = RouteConfig(name="web", filter="late", sink="https://example.org", body=BODY)
    calls: dict[str, Callable[..., Any]] = {
        name: parse_filter(text, fields) for name, text in FILTERS.items()
    }
    body = _encoder(route, fields)
    calls["body of a webhook"] = lambda record: body(record, b"")

    def repeated(call: Callable[..., Any]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(REPEATS):
                for record in records:
                    call(record)

        return run

    times: dict[str, Times] = take_turns({name: repeated(call) for name, call in calls.items()}, args.turns)
    n = REPEATS * len(records)
    cost = {name: round(1e6 * found.median_cpu / n, 3) for name, found in times.items()}
    what = "processor time of the filters of routes, and of a webhook's body [us per record]"
    write(args.out, result(what, n_records=len(records), filters=FILTERS, us_per_record=cost))


if __name__ == "__main__":
    main()
