"""The learning curve of `toyshift train-rl`: several seeds trained, then tested on 100 episodes, and a figure.

python benchmarks/rl_curve.py                                   SAC's defaults, seeds 0 1 2
python benchmarks/rl_curve.py --name ppo -- --algo ppo          what stands behind -- goes to train-rl
python benchmarks/rl_curve.py --figure                          only the figure, of all results there are

It writes results/rl_<name>_<seed>.json. A seed whose results are there is not trained again; one that was interrupted
goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from toyshift.core.files import read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.diagnostics import EvaluateConfig, evaluate, summarise
from toyshift.diagnostics.reporting.charts import nice_ticks
from toyshift.diagnostics.reporting.formatting import short
from toyshift.scripts.options import parse
from toyshift.scripts.studies.charts import COLOURS, GRID, INK, SCALE, font, save
from toyshift.scripts.train_rl import main as train_rl

GOAL = 0.8
TEST_SEED = 1000  # of test episodes; the training's evaluations play others


def measure(name: str, seed: int, work: Path, out: Path, options: list[str]) -> None:
    """Trains and tests one seed and writes its results."""
    folder = work / f"{name}-{seed}"
    config = parse(train_rl, [*options, "--seed", str(seed), "--out", str(folder)], "train-rl")
    facts = manifest(config.train.to_json(), seed)
    trained = train_rl(config)
    test = EvaluateConfig(str(folder), config.train.objects, trials=100, seed=TEST_SEED)
    tested = summarise(evaluate(test, folder / "test.parquet"))[0]
    write_json(out, {
        "name": name, "seed": seed, "config": config.train.to_json(), "step": trained["step"],
        "seconds": trained["seconds"],
        "curve": [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()],
        "test": {"success": tested.rate, "wilson_95": list(tested.wilson), "trials": tested.n, "seed": TEST_SEED,
                 "failures": tested.failures},
        "manifest": facts,
    })  # fmt: skip


def figure(results: list[dict[str, Any]], out: Path) -> None:
    """Draws success of the evaluations against control steps.

    Each seed is thin; as far as all seeds went there are their mean and the band from worst to best.
    """
    left, top, side, tall = 58, 34, 520, 260
    names = sorted({result["name"] for result in results})
    last = max(row["step"] for result in results for row in result["curve"])
    sheet = Image.new("RGB", ((left + side + 30) * SCALE, (top + tall + 50 + 16 * len(names)) * SCALE), (255, 255, 255))
    draw = ImageDraw.Draw(sheet, "RGBA")

    def place(step: float, rate: float) -> tuple[float, float]:
        return (left + side * step / last) * SCALE, (top + tall * (1 - rate)) * SCALE

    middle, title = (left + side / 2) * SCALE, "success of evaluations (0.3 m, not exploring)"
    draw.text((middle, 8 * SCALE), title, fill=INK, font=font(13), anchor="ma")
    for share in (0, 25, 50, 75, 100):
        draw.line([place(0, share / 100), place(last, share / 100)], fill=GRID, width=SCALE)
        draw.text(((left - 6) * SCALE, place(0, share / 100)[1]), f"{share} %", fill=INK, font=font(10), anchor="rm")
    draw.line([place(0, GOAL), place(last, GOAL)], fill=(200, 60, 60), width=SCALE)
    for step in (tick for tick in nice_ticks(0, last) if tick <= last):
        draw.text((place(step, 0)[0], (top + tall + 5) * SCALE), short(step), fill=INK, font=font(10), anchor="ma")
    draw.text((middle, (top + tall + 20) * SCALE), "control steps", fill=INK, font=font(11), anchor="ma")
    for i, name in enumerate(names):
        curves = [result["curve"] for result in results if result["name"] == name]
        count = min(map(len, curves))
        steps = [row["step"] for row in curves[0][:count]]
        rates = np.array([[row["success"] for row in curve[:count]] for curve in curves])  # (seeds, rounds)
        colour = COLOURS[i % len(COLOURS)]
        band = [*map(place, steps, rates.max(axis=0)), *map(place, steps[::-1], rates.min(axis=0)[::-1])]
        if count > 1:
            draw.polygon(band, fill=(*colour, 40))
        for curve in curves:
            draw.line([place(row["step"], row["success"]) for row in curve], fill=colour, width=SCALE)
        draw.line([*map(place, steps, rates.mean(axis=0))], fill=colour, width=3 * SCALE)
        y = (top + tall + 46 + 16 * i) * SCALE
        draw.line([(left * SCALE, y), ((left + 22) * SCALE, y)], fill=colour, width=3 * SCALE)
        minutes = np.mean([result["seconds"] for result in results if result["name"] == name]) / 60
        seeds = f"mean, worst to best and each of {len(curves)} seeds" if len(curves) > 1 else "1 seed"
        told = f"{name}: {seeds}, {minutes:.0f} minutes a seed"
        draw.text(((left + 28) * SCALE, y), told, fill=INK, font=font(11), anchor="lm")
    save(sheet, out)


def main() -> None:
    """Runs what is missing and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="sac", help="in file names and the figure")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/rl-curve"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=Path("docs/rl.png"))
    parser.add_argument("--figure", action="store_true", help="train nothing")
    parser.add_argument("options", nargs="*", help="of toyshift train-rl, behind --")
    args = parser.parse_args()
    if not re.fullmatch(r"[a-z0-9-]+", args.name):
        parser.error(f"--name {args.name!r}: lower-case letters, digits and - only")
    for seed in [] if args.figure else args.seeds:
        path = args.results / f"rl_{args.name}_{seed}.json"
        if not path.exists():
            measure(args.name, seed, args.work, path, args.options)
    results = [read_json(path) for path in sorted(args.results.glob("rl_*_*.json"))]
    if not results:
        sys.exit(f"no rl_*.json under {args.results}")
    for result in results:
        test = result["test"]
        reached = next((f"{row['seconds'] / 60:.0f} min" for row in result["curve"] if row["success"] >= GOAL), "never")
        low, high = test["wilson_95"]
        success = f"{100 * test['success']:.0f} % of {test['trials']} (95 %: {100 * low:.0f} to {100 * high:.0f} %)"
        length = f"{result['step']} steps, {result['seconds'] / 60:.0f} min, 80 % first after {reached}"
        print(f"{result['name']} seed {result['seed']}: {success}, {length}")
    figure(results, args.out)
    print(args.out)


if __name__ == "__main__":
    main()
