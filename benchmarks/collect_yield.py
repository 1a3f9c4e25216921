"""How many of the first attempts of a collection succeeded, and why the others failed; from its own ledger.

toyshift collect --robot so101 --objects 'toys:train?scale=0.75' --episodes 200 --out runs/so101-demos
python benchmarks/collect_yield.py runs/so101-demos --attempts 200 --out results/so101/yield.json
"""

from __future__ import annotations

import argparse
import collections
import json
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, write_json
from toyshift.diagnostics.statistics import wilson

TOLD = ("robot", "objects", "seed", "disturb", "action_mode", "image_size")


def measured(folder: Path, attempts: int) -> dict[str, Any]:
    """Returns the share of the first `attempts` of a collection that succeeded, with its 95 % interval (Wilson).

    Attempts count in their order, and as many as were asked for: where a collection stops, at so many successes, says
    nothing about its yield.

    Raises:
        ConfigError: it has fewer attempts.
    """
    rows = [json.loads(line) for line in (folder / "attempts.jsonl").read_text(encoding="utf-8").splitlines()]
    first = {row["index"]: row for row in rows if row["index"] < attempts}
    if len(first) < attempts:
        raise ConfigError(f"{folder} has {len(first)} of the first {attempts} attempts; give --attempts {len(first)}")
    k = sum(row["success"] for row in first.values())
    causes = collections.Counter(row["cause"] for row in first.values() if not row["success"])
    settings = read_json(folder / "collect.json")["settings"]
    told = {name: settings[name] for name in TOLD}
    return {
        **told, "n": attempts, "k": k, "rate": k / attempts, "wilson": wilson(k, attempts), "failures": dict(causes),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--attempts", type=int, default=200)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = measured(args.folder, args.attempts)
    if args.out:
        write_json(args.out, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
