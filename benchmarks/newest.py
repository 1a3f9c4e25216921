r"""What the newest packages change beside the pinned ones: bits of single computations, starts, images, outcomes.

.venv/bin/python benchmarks/newest.py play runs/newest/pinned             300 episodes of the expert, under one set
.venv-newest/bin/python benchmarks/newest.py play runs/newest/newest      the same starts under the other
.venv/bin/python benchmarks/newest.py compare runs/newest/newest runs/newest/pinned     what differs

`make test-newest` does all three. The episodes are paired: both sets play the same seed. An interrupted run goes on.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

import kernels
import numpy as np

from toyshift.core.files import read_json, write_json
from toyshift.core.manifest import package_versions
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.reproduction import reproductions
from toyshift.scripts.studies.figures import markdown_table

FACTS, ROWS, MODELS = "facts.json", "oracle.parquet", "models.npz"


def models() -> dict[str, np.ndarray]:
    """Returns the floating-point arrays of the compiled model of every robot, by robot and name, each in one row."""
    from toyshift.envs import EnvConfig, GraspEnv
    from toyshift.envs.robots import ROBOTS

    found = {}
    for robot in ROBOTS:
        env = GraspEnv(EnvConfig(objects="toys:train?n=2", robot=robot, cameras=()))
        env.reset(seed=0)
        model = env.scene.model
        arrays = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
        chosen = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray) and array.size}
        found |= {f"{robot}/{name}": np.array(a) for name, a in chosen.items() if np.issubdtype(a.dtype, np.floating)}
        env.close()
    return found


def play(args: argparse.Namespace) -> dict[str, Any]:
    """Plays the expert's episodes and writes rows, starts, bits and models of this environment."""
    args.folder.mkdir(parents=True, exist_ok=True)
    versions = package_versions() | {"python": sys.version.split()[0]}
    write_json(args.folder / FACTS, {"versions": versions, "episodes": args.episodes})
    kernels.work(args, args.folder)
    np.savez(args.folder / MODELS, **models())
    return {"folder": str(args.folder)}


def changed_models(here: Path, there: Path) -> dict[str, float]:
    """Returns how many arrays of how many compiled robots differ, of those that both have, and by how much at most."""
    with np.load(here / MODELS) as now, np.load(there / MODELS) as before:
        both = [name for name in before.files if name in now.files]
        alike = [name for name in both if now[name].shape == before[name].shape]
        largest = [float(np.max(np.abs(now[n].astype(float) - before[n]))) for n in alike if now[n].size]
        other = sum(not np.array_equal(now[n], before[n]) for n in alike)
    robots = len({name.partition("/")[0] for name in both})
    counts = {"robots": robots, "of": len(both), "differ": other, "other shape": len(both) - len(alike)}
    return {**counts, "largest": max(largest)}


def steps(now: list[Row], before: list[Row]) -> dict[str, float]:
    """Returns in how many pairs of episodes the steps differ, and the median change of those in steps."""
    other = {row.episode: row for row in before}
    changes = [row.steps - other[row.episode].steps for row in now if row.episode in other]
    moved = [change for change in changes if change]
    return {"differ": len(moved), "of": len(changes), "median change": statistics.median(moved) if moved else 0}


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Compares two folders; prints a table, and writes it beside both sides' rows where asked to."""
    here, there = args.folder, args.other
    sides = [[row for row in read_rows(where / ROWS) if row.episode < args.episodes] for where in (here, there)]
    start = f"starts-{args.episodes}.npz"
    found = {
        "versions": [read_json(where / FACTS)["versions"] for where in (here, there)],
        "bits": kernels.differing(here / "bits.npz", there / "bits.npz"),
        "starts": kernels.differing(here / start, there / start),
        "models": changed_models(here, there),
        "steps": steps(*sides),
        "rows": reproductions(*sides)[0].to_json(),
    }
    print(markdown(found))
    if args.results:
        for where in (here, there):
            write_rows(args.results / where.name / ROWS, read_rows(where / ROWS), read_rows_manifest(where / ROWS))
        write_json(args.results / "table.json", found)
    return found


def markdown(found: dict[str, Any]) -> str:
    """Returns the table of docs/newest.md."""
    lines = []
    for name, x in {**found["bits"], **found["starts"]}.items():
        lines.append([name, f"{x['differ']:.0f} of {x['of']:.0f}", f"{x['largest']:.1e}"])
    models, moved, rows = found["models"], found["steps"], found["rows"]
    of_models = f"{models['differ']} of {models['of']}"
    lines.append([f"arrays of {models['robots']} compiled robots", of_models, f"{models['largest']:.1e}"])
    lines.append(["steps of an episode of the expert", f"{moved['differ']} of {moved['of']}", ""])
    change = rows["paired"]["difference"]
    told = f"{100 * change['value']:+.1f} points ({100 * change['low']:+.1f} to {100 * change['high']:+.1f})"
    lines.append(["rows of the expert", f"{rows['n'] - rows['equal']} of {rows['n']}", ""])
    lines.append(["outcomes of the expert", f"{rows['outcomes']} of {rows['n']}", told])
    new, old = found["versions"]
    head = ", ".join(f"{name} {new[name]} ({old[name]})" for name in new if new[name] != old.get(name))
    return f"{head}\n\n" + markdown_table("| what | differs | by at most |", lines)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("play", "compare"))
    parser.add_argument("folder", type=Path, help="of this environment's side")
    parser.add_argument("other", type=Path, nargs="?", help="compare: the folder of the pinned set")
    parser.add_argument("--episodes", type=int, default=300, help="episodes of the expert")
    parser.add_argument("--objects", default="toys:test", help="object set")
    parser.add_argument("--seed", type=int, default=0, help="root seed")
    parser.add_argument("--results", type=Path, help="compare: folder for rows and table.json")
    args = parser.parse_args(argv)
    args.policy = ""  # the expert alone
    if args.what == "compare" and args.other is None:
        parser.error("compare needs two folders: that of the newest set and that of the pinned one")
    return play(args) if args.what == "play" else compare(args)


if __name__ == "__main__":
    main()
