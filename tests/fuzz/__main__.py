"""Compare the fast path and the reference path on random lines."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

from spade_spark.lookups.base import Lookups
from tests.fuzz.compare import differing_lines, fast_path, reference
from tests.fuzz.generators import FixedGeo, FixedUserIds, lines, tables

LINES_PER_CHUNK = 500


def main() -> int:
    """Stop at the first chunk with different results, and print one of its lines."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lookups = Lookups(FixedGeo(), FixedUserIds())
    outcomes: Counter[str] = Counter()
    started = time.monotonic()
    done = 0
    while done < arguments.lines:
        rng = Random(f"{arguments.seed}-{done}")
        schema = tables(rng)
        requested = frozenset(list(schema)[:1]) if rng.random() < 0.1 else None
        chunk = lines(rng, schema, min(LINES_PER_CHUNK, arguments.lines - done))
        differing = differing_lines(chunk, schema, lookups, requested)
        if differing:
            print(
                f"the paths differ on {differing[0]!r}\ntables: {schema!r}\nrequested: {requested}"
            )
            print(f"reference: {reference(differing[:1], schema, lookups, requested)}")
            print(f"fast path: {fast_path(differing[:1], schema, lookups, requested)}")
            return 1
        counts = fast_path(chunk, schema, lookups, requested).counts
        outcomes.update({key.value: number for key, number in counts.outcomes().items()})
        outcomes["undecodable"] += counts.undecodable
        done += len(chunk)
    seconds = time.monotonic() - started
    print(f"{done:,} random lines (seed {arguments.seed}), equal results; {seconds:.0f} s")
    print(", ".join(f"{name}: {number:,}" for name, number in outcomes.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
