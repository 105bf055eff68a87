"""`make chaos`: the relay under faults, on three Apache Kafka brokers and a real Temporal server.

    python -m tests.chaos [--seed N] [--activities N] [--seconds N] [--json FILE]

The seed gives the plan of faults and the script of records; it is printed, and
repeats them. Exit code 1 when any finding is not 0.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos import plan as planning
from tests.chaos.command import count, finish, positive, progress, setting
from tests.chaos.run import Run, carry_out


def main() -> int:
    """Do one run as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--seed", type=int, help="repeats a run (default: a new one, printed)")
    parser.add_argument("--activities", type=count, default=3_000, help="that wait (default: 3000)")
    parser.add_argument(
        "--seconds", type=positive, default=120, help="how long faults last (default: 120)"
    )
    parser.add_argument(
        "--pause", type=positive, default=2.0, help="mean seconds between two faults (default: 2)"
    )
    parser.add_argument(
        "--settle",
        type=positive,
        default=120,
        help="seconds for the quiet at the end (default: 120)",
    )
    parser.add_argument(
        "--relays-only", action="store_true", help="no fault but relays that are killed"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=setting,
        metavar="COMPLETION_RELAY_…=VALUE",
        help="a setting of every relay; repeatable",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and data there")
    given = parser.parse_args()
    run = Run(
        seed=given.seed if given.seed is not None else random.SystemRandom().randrange(10**6),
        activities=given.activities,
        seconds=given.seconds,
        settle=given.settle,
        pause=given.pause,
        settings=dict(given.set),
        kinds=planning.RELAYS_ONLY if given.relays_only else planning.ALL,
    )
    say = progress()
    say(f"seed {run.seed}; the plan:")
    for fault in run.plan():
        say(f"  {fault}")
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        work = carry_out(run, given.keep or Path(temporary), say)
        return finish(work, say=say, figures=given.json)


if __name__ == "__main__":
    sys.exit(main())
