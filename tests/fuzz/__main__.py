"""``python -m tests.fuzz``: fuzz the readers of foreign data; ``make fuzz`` calls it."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.runner import TARGETS, campaign, serve


def main() -> int:
    """Run the campaigns that the words name; 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; by default all")
    parser.add_argument("--seconds", type=float, default=60.0, help="budget of all campaigns together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="run this case alone")
    parser.add_argument("--folder", type=Path, help="where the inputs go; by default a temporary folder")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    targets = options.target or list(TARGETS)
    if options.serve:
        serve(targets[0], options.folder, options.seed)
        return 0
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        for name in targets:
            folder = (options.folder or Path(temporary)) / name
            bounds = {"seconds": options.seconds / len(targets)}
            if options.case is not None:
                bounds = {"first": options.case, "cases": options.case + 1}
            report = campaign(name, folder, seed=options.seed, **bounds)
            failed |= bool(report.failures)
            sys.stdout.write(f"{report}\n")
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
