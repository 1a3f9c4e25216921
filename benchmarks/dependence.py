"""Processor seconds of the dependence measure of 10,000 made-up episodes, by the size of a pair's table.

nice -n 19 python benchmarks/dependence.py            one process, one thread
python benchmarks/dependence.py --sizes 9x9 1000x8    these tables alone

Per size one relevant and one irrelevant factor, drawn apart; then "card": an object and an instruction of 1,000 each
and eight other relevant factors beside twelve irrelevant ones, which is what `toyshift diagnose --data` measures.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from toyshift.diagnostics.dependence import Values, measure_dependence

EPISODES = 10_000
SIZES = ("9x9", "250x9", "1000x8", "1000x1000", "card")


def factors(prefix: str, values: list[int], rng: np.random.Generator) -> dict[str, Values]:
    return {f"{prefix}{i}": [f"{x}" for x in rng.integers(size, size=EPISODES)] for i, size in enumerate(values)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    args = parser.parse_args()
    for size in args.sizes:
        rng = np.random.default_rng(0)
        relevant, irrelevant = ([1000] * 2 + [9] * 8, [9] * 12)
        if size != "card":
            relevant, irrelevant = ([int(count)] for count in size.split("x"))
        data = factors("u", relevant, rng), factors("v", irrelevant, rng)
        start = time.process_time()
        found = measure_dependence({"d": data})
        spent = time.process_time() - start
        first = found.pairs[0]
        print(
            f"{size}: {len(found.pairs)} pairs, {spent:.2f} s; the first: NMI {first.nmi:.3f} "
            f"[{first.low:.3f}, {first.high:.3f}], by chance {first.chance:.3f}, p {first.p_value:.3f}", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
