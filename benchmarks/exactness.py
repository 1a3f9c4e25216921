"""The same policy from the same starts through everything that plays ToyShift: how many outcomes differ?

python benchmarks/exactness.py --policy runs/quickstart/policies/detpool                     1,000 starts, every way
python benchmarks/exactness.py --policy DIR --starts 200 --ways gymnasium sb3 openpi         some ways
python benchmarks/exactness.py --tabulate --docs docs                                        the table, from the rows

Each way is a process of its own, in the Python that has what it needs: LeRobot's (`make test-interop`,
--lerobot-python) and vla-eval's (`make test-vla-eval`, --vla-eval-python) are others than ToyShift's. A way that cannot
be run is named with the reason. Rows of a way are kept in RESULTS/rows; an interrupted run goes on, and more --starts
play the new ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError, ToyShiftError, UnknownNameError
from toyshift.core.files import read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.diagnostics.actors import policy_fingerprint
from toyshift.diagnostics.evaluation import POLICY_HASH, PROTOCOL
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.statistics import paired_difference, wilson
from toyshift.scripts.studies.cells import write_made
from toyshift.scripts.studies.figures import markdown_table

sys.path.insert(0, str(Path(__file__).parent))  # where this file is imported by a test
from exactness_ways import FIRST_SEED, WAYS, Asked

ROOT = Path(__file__).parents[1]
OUTCOME = ("success", "max_height", "steps", "failure", "penetration", "events", "object_id")
KEPT = 10  # starts after which rows are written
PYTHONS = {"lerobot": ".venv-interop", "vla_eval": ".venv-vla-eval"}  # what a way needs -> the environment that has it
MADE_BY = {"lerobot": "make test-interop", "vla_eval": "make test-vla-eval"}


# ---------------------------------------------------------------- in the process of a way


def work(args: argparse.Namespace) -> None:
    """Plays what is missing of a way."""
    path, way = rows_path(args.results, args.work), WAYS[args.work]
    facts = facts_of(args)
    kept = {number_of(row): row for row in held(path, facts)}
    missing = [i for i in range(args.starts) if i not in kept]
    if not missing:
        return
    with tempfile.TemporaryDirectory() as scratch:
        asked = Asked(args.policy, args.objects, args.seed, Path(scratch))
        playing = way.play(asked, missing)
        for count, _ in enumerate(track(missing, args.work), 1):
            if (row := next(playing, None)) is None:
                raise FileError(f"{args.work} has played {count - 1} of {len(missing)} starts and told of no more")
            kept[number_of(row)] = row
            if count % KEPT == 0 or count == len(missing):
                save(path, kept, facts)
        playing.close()


def facts_of(args: argparse.Namespace) -> dict[str, Any]:
    """Returns what decides the rows of a way."""
    own = {POLICY_HASH: policy_fingerprint(args.policy), "protocol": PROTOCOL, "way": args.work}
    return own | {"objects": args.objects, "root_seed": args.seed}


def held(path: Path, facts: Mapping[str, Any]) -> list[Row]:
    """Returns the rows of a file.

    Raises:
        FileError: they are of another policy, set or seed.
    """
    if not path.is_file():
        return []
    said = read_rows_manifest(path)
    differ = {name: said.get(name) for name, value in facts.items() if said.get(name) != value}
    if other := [f"{name} {value} instead of {facts[name]}" for name, value in differ.items()]:
        raise FileError(f"{path} holds rows of {', '.join(other)}; give another --results, or delete it")
    return read_rows(path)


def save(path: Path, kept: Mapping[int, Row], facts: Mapping[str, Any]) -> None:
    rows = [dataclasses.replace(kept[i], trials=len(kept)) for i in sorted(kept)]
    write_rows(path, rows, manifest({"way": facts["way"]}, facts["root_seed"], **facts))


def rows_path(results: Path, way: str) -> Path:
    return results / "rows" / f"{way}.parquet"


def number_of(row: Row) -> int:
    """Returns the number of a start: LeRobot's are all episode 0, of one seed each."""
    return row.episode if row.seed < FIRST_SEED else row.seed - FIRST_SEED


# ---------------------------------------------------------------- all ways


def python_of(args: argparse.Namespace, needs: str) -> tuple[str, str]:
    """Returns the Python that has a module, and why there is none."""
    if not needs:
        return sys.executable, ""
    python, option = getattr(args, f"{needs}_python"), f"--{needs.replace('_', '-')}-python"
    if not Path(python).is_file():
        return "", f"there is no {python}; `{MADE_BY[needs]}` makes it, {option} names another"
    done = subprocess.run([python, "-c", f"import {needs}"], capture_output=True, text=True, check=False)
    why = f"{python} cannot import {needs}: {done.stderr.strip()[-200:]}" if done.returncode else ""
    return ("" if why else python), why


def play(args: argparse.Namespace, way: str) -> str:
    """Plays a way in a process of its own; returns why it could not be, "" where it was."""
    python, why = python_of(args, WAYS[way].needs)
    if why:
        return why
    words = ["--policy", args.policy, "--objects", args.objects, "--starts", str(args.starts), "--seed", str(args.seed)]
    command = [python, __file__, *words, "--results", str(args.results), "--work", way]
    own = {"PYTHONPATH": str(ROOT / ".typing"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=os.environ | own, check=False)
    return f"its process ended with exit code {done.returncode}; its message is above" if done.returncode else ""


def compared(here: Sequence[Row], there: Sequence[Row]) -> dict[str, Any]:
    """Returns how the rows of a way differ from those of its reference, start by start."""
    pairs = {(row.seed, row.episode): row for row in there}
    both = [(row, pairs[row.seed, row.episode]) for row in here if (row.seed, row.episode) in pairs]
    columns = {name: sum(getattr(a, name) != getattr(b, name) for a, b in both) for name in OUTCOME}
    equal = sum(all(getattr(a, name) == getattr(b, name) for name in OUTCOME) for a, b in both)
    successes = [a.success for a, _ in both], [b.success for _, b in both]
    paired = paired_difference(*successes, [b.object_id for _, b in both])
    low, high = wilson(columns["success"], len(both))
    return {
        "n": len(both), "outcomes": columns["success"], "outcomes_95": [low, high], "equal": equal,
        "columns": columns, "success": sum(successes[0]) / len(both), "beside": sum(successes[1]) / len(both),
        "largest_height": max(abs(a.max_height - b.max_height) for a, b in both), "paired": paired.to_json(),
    }  # fmt: skip


def tabulate(results: Path) -> dict[str, Any]:
    """Returns how each way whose rows are there differs from its reference.

    Raises:
        FileError: a reference has no rows.
    """
    found = {}
    for name, way in WAYS.items():
        if not way.beside or not rows_path(results, name).is_file():
            continue
        reference = rows_path(results, way.beside)
        if not reference.is_file():
            raise FileError(f"{reference} is not there, beside which {name} is held; give --ways {way.beside}")
        machines = [read_rows_manifest(path)["versions"] for path in (rows_path(results, name), reference)]
        if machines[0] != machines[1]:
            raise FileError(f"{name} and {way.beside} were played with other versions; play one of them again")
        one = compared(read_rows(rows_path(results, name)), read_rows(reference))
        found[name] = {"told": way.told, "shared": way.shared, "reference": way.beside, **one}
    return found


def markdown(found: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str]) -> str:
    """Returns the table of docs/exactness.md, with its marks for check_claims.py."""
    lines = []
    for name, x in found.items():
        change, largest = x["paired"]["difference"], x["largest_height"]
        at = f"exactness/table.json#ways/{name}"
        counts = f"{x['n']} | {x['outcomes']} | {x['equal']}<!-- claim: value of {at}/{{n,outcomes,equal}} -->"
        above = f"{100 * x['outcomes_95'][1]:.1f}<!-- claim: percent of {at}/outcomes_95/1 -->"
        gap = "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * change[key] for key in ("value", "low", "high")))
        gap += f"<!-- claim: percent of {at}/paired/difference/{{value,low,high}} -->"
        lines.append((x["told"], counts, above, gap, "0" if largest == 0 else f"{largest:.1g} m"))
    head = "| way | starts | other outcomes | rows equal in every bit | at most, % | success minus, points | height |"
    table = markdown_table(head, lines)
    return table + "".join(f"\n\nNot run: {WAYS[name].told} ({why})." for name, why in left_out.items())


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="", help="folder of a trained policy")
    parser.add_argument("--objects", default="toys:test", help="object set")
    parser.add_argument("--starts", type=int, default=1000, help="of each way")
    parser.add_argument("--seed", type=int, default=0, help="root seed, below 1000, where LeRobot's begin")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--results", type=Path, default=Path("results/exactness"), help="folder of rows and table.json")
    parser.add_argument("--docs", type=Path, help="folder whose exactness.md gets the table")
    parser.add_argument("--tabulate", action="store_true", help="play nothing: the table, from the rows that are there")
    for needs, folder in PYTHONS.items():
        word = needs.replace("_", "-")
        parser.add_argument(f"--{word}-python", default=str(ROOT / folder / "bin" / "python"), help=f"that has {word}")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # in the process of a way: which one
    args = parser.parse_args(argv)
    for way in args.ways:
        if way not in WAYS:
            parser.error(str(UnknownNameError("way", way, WAYS)))
    if not args.tabulate and not args.policy:
        parser.error("--policy DIR is missing: it is what plays")
    if args.starts < 1 or not 0 <= args.seed < 1000:
        parser.error(f"--starts is {args.starts} and --seed {args.seed}; at least 1, and from 0 to 999")
    return args


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(argv)
    if args.work:
        work(args)
        return {}
    path = args.results / "table.json"
    if args.tabulate:
        left_out = read_json(path)["left_out"] if path.is_file() else {}
    else:
        left_out = {way: why for way in args.ways if (why := play(args, way))}
    found = tabulate(args.results)
    left_out = {way: why for way, why in left_out.items() if way not in found}
    write_json(path, {"ways": found, "left_out": left_out})
    made = markdown(found, left_out)
    if args.docs:
        words = f" --results {args.results} --docs {args.docs} --tabulate"
        write_made(args.docs / "exactness.md", f"python benchmarks/exactness.py{words}", made)
    print(made)
    differ = [name for name, x in found.items() if x["shared"] and x["equal"] < x["n"]]
    print(f"\nphysics shared, and yet not equal: {', '.join(differ) or 'none'}")
    return {"ways": found, "left_out": left_out, "ok": not differ}


if __name__ == "__main__":
    try:
        raise SystemExit(0 if main().get("ok", True) else 1)
    except ToyShiftError as error:
        raise SystemExit(f"exactness: {error}") from error
