"""kill -9 at chosen moments of a command, and the same command again: its rows equal those of one that was left alone.

python benchmarks/kills.py --out runs/kills                        evaluate, study, augment: 10 moments each, minutes
python benchmarks/kills.py evaluate --moments 3 --out runs/kills   one of them, fewer moments

A moment is a step of the command in its folder: a file opened, made, renamed or removed, a folder listed. The command
is run once to the end, which counts them; then it is killed at moments spread evenly over all of them, each time in a
new folder, and run again there. A file that is about to be renamed is cut to half its length at every other moment,
as a kill in the middle of writing it leaves it. Killed is the process that writes; its workers end with it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toyshift.core.errors import ToyShiftError
from toyshift.core.files import read_json, whole_files
from toyshift.scripts.cli import main as toyshift

STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.listdir", "os.scandir")


def watch(folder: Path, within: str, die_at: int, torn: bool) -> Callable[[], int]:
    """Kills this process at its n-th step on a path of a folder that matches; returns what says how many were counted.

    Args:
        folder: whose files count.
        within: pattern of the paths that do, relative to it.
        die_at: the step before which it dies; 0 never.
        torn: cut a file that would be renamed in that step to half its length.
    """
    begin, matches, count = f"{folder.resolve()}/", re.compile(within).search, 0

    def step(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in STEPS or not isinstance(args[0], str | os.PathLike):
            return
        path = os.path.abspath(args[0])
        if not path.startswith(begin) or not matches(path.removeprefix(begin)):
            return
        count += 1
        if count == die_at:
            if torn and event == "os.rename" and os.path.isfile(path):
                os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)
    return lambda: count


# ---------------------------------------------------------------- what is killed, and what must come out


@dataclasses.dataclass(frozen=True)
class Victim:
    """A command that is killed.

    Attributes:
        words: behind `toyshift`; {out} is the folder, {shared} one that is made once.
        within: pattern of the paths, in the folder, whose steps are moments.
        result: the folder -> what must be equal, by name.
        before: words of a command that makes what it needs in {shared}.
    """

    words: str
    within: str
    result: Callable[[Path], dict[str, Any]]
    before: str = ""


def rows_in(folder: Path) -> dict[str, Any]:
    """Returns the rows of every file of a folder, as every reader of rows finds them, without wall times."""
    from toyshift.diagnostics import read_rows

    return {
        str(path.relative_to(folder)): [dataclasses.replace(row, wall_s=0.0) for row in read_rows(path)]
        for path in whole_files(folder, "**/*.parquet")
    }


def of_study(folder: Path) -> dict[str, Any]:
    results = folder / "results"
    return rows_in(results) | {"table": read_json(results / "table.json")}


def of_dataset(folder: Path) -> dict[str, Any]:
    """Returns the columns of a dataset's frames, and its content hash."""
    import pyarrow.parquet as pq

    from toyshift.data.store.dataset import open_dataset

    made = folder / "made"
    files = {str(path.relative_to(made)): pq.read_table(path) for path in whole_files(made / "data", "**/*.parquet")}
    return files | {"hash": open_dataset(made).content_hash(recompute=True)}


STUDY = (
    "study lego-table --out {out} --demos 2 --seeds 1 --steps 2 --batch 4 --trials 1 --rates 1e-3 2e-3 --tune-steps 1 "
    "--tune-trials 1 --long-steps -1 --poolings mean --only {only} --workers 1 --allow-dirty"
)
VICTIMS = {
    "evaluate": Victim(
        "evaluate --policy random --objects toys:test?n=8 --trials 45 --max-steps 8 --workers 1 --out {out}",
        r"parquet|results\.json", rows_in,
    ),
    "evaluate-short": Victim(
        "evaluate --policy random --no-references --objects toys:test?n=4 --trials 41 --max-steps 4 --workers 1 "
        "--out {out}",
        r"parquet|results\.json", rows_in,
    ),
    "study": Victim(STUDY.replace("{only}", "try-mean-2"), r"^settings|^results|^rows|\.md|\.png|seconds", of_study),
    "study-short": Victim(STUDY.replace("{only}", "try-mean-1"), r"^settings|^results", of_study),
    "augment": Victim(
        "augment viewpoint {shared}/demos {out}/made --azimuth -30 30 --workers 1", r"^made", of_dataset,
        "collect --objects toys:train --episodes 3 --image-size 32 --workers 1 --out {shared}/demos",
    ),
}  # fmt: skip


def run(words: str, out: Path, within: str = "^$", die_at: int = 0, torn: bool = False) -> tuple[int, int, str]:
    """Runs a `toyshift` command in a process that may die at a step; returns exit code, steps and what it said.

    The process is forked, so that libraries are imported once for all; those that start threads have not been used.
    """
    told, count = (out.with_name(f"{out.name}.{what}") for what in ("told", "steps"))
    told.parent.mkdir(parents=True, exist_ok=True)
    count.unlink(missing_ok=True)
    if (pid := os.fork()) == 0:
        code = 1
        try:
            with open(told, "w") as said, contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                steps = watch(out, within, die_at, torn)
                code = toyshift(words.split())
                count.write_text(str(steps()))
        except BaseException:
            told.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, int(count.read_text()) if count.exists() else 0, told.read_text()


def trial(name: str, out: Path, moments: int, chained: bool = False) -> list[str]:
    """Kills one command at so many moments; returns what was wrong after each, "" where nothing was.

    Args:
        name: of VICTIMS.
        out: folder of work; emptied.
        moments: how many, spread evenly.
        chained: all in one folder, which is run to its end once, in place of a new folder each.
    """
    shutil.rmtree(out, ignore_errors=True)
    victim, shared = VICTIMS[name], out / "shared"
    if victim.before:
        require(run(victim.before.format(shared=shared), shared))
    whole = out / "whole"
    whole.parent.mkdir(parents=True, exist_ok=True)
    _, steps, _ = require(run(victim.words.format(out=whole, shared=shared), whole, victim.within))
    wanted, told = victim.result(whole), []
    killed_at, folder = [], out / "killed"
    for i in range(moments):
        die_at = 1 + (2 * i + 1) * steps // (2 * moments)
        killed_at.append(str(die_at))
        if not chained:
            folder, killed_at = out / f"killed-{die_at}", killed_at[-1:]
        words = victim.words.format(out=folder, shared=shared)
        code, own, said = run(words, folder, victim.within, die_at, torn=i % 2 == 0)
        if code == 0 and not chained:  # parts are saved every ten seconds too: there may be fewer; as far from the end
            shutil.rmtree(folder)
            code, _, said = run(words, folder, victim.within, own - steps + die_at, torn=i % 2 == 0)
        at_its_end = chained and i > 0 and code == 0  # less is left to do after a kill
        if code != -signal.SIGKILL and not at_its_end:
            raise ToyShiftError(f"{name} was not killed at step {die_at} but left with {code}: {said}")
        if not chained or i == moments - 1:
            told.append(_problem(victim, words, folder, wanted))
            print(f"{name}, killed at step {' and '.join(killed_at)} of {steps}: {told[-1] or 'equal'}", flush=True)
    return told


def _problem(victim: Victim, words: str, folder: Path, wanted: dict[str, Any]) -> str:
    """Runs a killed command again; returns what is wrong then, "" where nothing is."""
    code, _, said = run(words, folder)
    if code:
        return f"refused to go on ({code}): {said.strip().splitlines()[-1]}"
    made = victim.result(folder)
    if wrong := [key for key in wanted.keys() | made.keys() if wanted.get(key) != made.get(key)]:
        return f"other results: {', '.join(sorted(wrong))}"
    return ""


def require(done: tuple[int, int, str]) -> tuple[int, int, str]:
    if done[0]:
        raise ToyShiftError(f"the command fails when it is left alone: {done[2]}")
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=["evaluate", "study", "augment"], help=", ".join(VICTIMS))
    parser.add_argument("--moments", type=int, default=10, help="kills of each")
    parser.add_argument("--chained", action="store_true", help="all kills in one folder, one after the other")
    parser.add_argument("--out", type=Path, default=Path("runs/kills"), help="folder of work; emptied")
    args = parser.parse_args()
    import torch  # noqa: F401  once for all commands, whose processes are forked

    import toyshift.augment.augmenting
    import toyshift.diagnostics.evaluation
    import toyshift.scripts.studies.lego_table  # noqa: F401

    told = {name: trial(name, args.out / name, args.moments, args.chained) for name in args.which}
    for name, problems in told.items():
        print(f"{name}: {problems.count('')} of {len(problems)} trials came out equal")
    return any(any(problems) for problems in told.values())


if __name__ == "__main__":
    sys.exit(main())
