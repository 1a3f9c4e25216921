"""The small search behind the learning rates of scripts/recipe.py: every pooling gets the same number of short runs.

python benchmarks/lr_search.py --data runs/quickstart/demos --out runs/lr-search
python benchmarks/lr_search.py --data runs/quickstart/demos --out runs/lr-search-long --steps 1100 --trials 100 \\
    --rates 2.5e-3 5e-3 1e-2 --results results/lr_search_long.json

Writes results/lr_search.json: pooling, learning rate, training and validation loss, success on training toys. The
second command compares the better rates at the length of the quickstart, since short runs favour high rates.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.diagnostics import EvaluateConfig, evaluate, summarise
from toyshift.policies import train
from toyshift.scripts.recipe import KINDS, quickstart_recipe

RATES = (1e-3, 2.5e-3, 5e-3, 1e-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="demonstrations")
    parser.add_argument("--out", type=Path, default=Path("runs/lr-search"), help="folder of the policies")
    parser.add_argument("--poolings", nargs="+", choices=KINDS, default=("detpool", "mean"), help="of the quickstart's")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="peak learning rates")
    parser.add_argument("--steps", type=int, default=250, help="optimiser steps of each run")
    parser.add_argument("--batch", type=int, default=128, help="samples per step")
    parser.add_argument("--trials", type=int, default=24, help="episodes on training toys")
    parser.add_argument("--results", type=Path, default=Path("results/lr_search.json"), help="where the table goes")
    args = parser.parse_args()
    table = []
    for pooling in args.poolings:
        for rate in args.rates:
            folder = args.out / f"{pooling}-{rate:g}"
            recipe = quickstart_recipe(pooling, (str(args.data),), str(folder), args.steps, args.batch, seed=0)
            found = train(dataclasses.replace(recipe, lr=rate))
            config = EvaluateConfig(str(folder), "toys:train", args.trials, seed=3000)
            summary = summarise(evaluate(config, args.out / "rows" / f"{folder.name}.parquet"))[0]
            row = {
                "pooling": pooling, "lr": rate, "loss": found["loss"], "validation_loss": found["validation_loss"],
                "success_training_toys": summary.rate, "wilson_95": list(summary.wilson), "n": summary.n,
            }
            table.append(row)
            print(json.dumps(row), flush=True)
    write_json(args.results, {"rows": table, "manifest": manifest({k: str(v) for k, v in vars(args).items()}, 0)})


if __name__ == "__main__":
    main()
