"""Measures the graspability of toys: the share of sampled antipodal grasps that lift a toy in simulation, by toy id."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, GraspError
from toyshift.core.files import locked
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, play
from toyshift.data.grasping.choose import any_feasible
from toyshift.data.grasping.expert import GraspExpert, lifts_at_once
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys.graspability import TRIES, read_table, table_path
from toyshift.toys.random_toys.toy_set import ToySet
from toyshift.toys.sources import load_objects


def count_successes(env: GraspEnv, toy_id: str, tries: int, seed: int = 0) -> int:
    """How many of `tries` grasps lift a toy; each in another of its rest poses, at another place.

    A pose in which the search finds no grasp counts as a failure; so does a grasp that the toy slips out of, whatever a
    second one would do. Try k depends on (seed, k) and the toy alone.
    """
    successes = 0
    for k in range(tries):
        env.reset(seed=seed, options={"episode": k, "object": toy_id})
        expert = GraspExpert(env, any_feasible(env, episode_rng(seed, k, "pick")))
        with contextlib.suppress(GraspError):
            expert.reset(seed, k)
            successes += lifts_at_once(expert)
    return successes


def _opened(spec: str) -> contextlib.closing[GraspEnv]:
    return contextlib.closing(GraspEnv(objects=spec, cameras=()))


def _measure(tries: int, seed: int, env: GraspEnv, toy_id: str) -> tuple[str, int]:
    return toy_id, count_successes(env, toy_id, tries, seed)


def _append(path: Path, row: dict[str, Any]) -> None:
    """Adds one line to a table, on a line of its own even where a kill cut the last one short."""
    with locked(path), open(path, "a+b") as table:
        if table.tell():
            table.seek(-1, os.SEEK_END)
            if table.read(1) != b"\n":
                table.write(b"\n")
        table.write((json.dumps(row) + "\n").encode())


def measure_graspability(spec: str, tries: int = TRIES, seed: int = 0, workers: int = 2) -> dict[str, float]:
    """Measures the toys of a set that the table lacks, one line of the table each; run again after a kill, it goes on.

    Args:
        spec: one set of toys, e.g. "toys:train?n=500".
        tries: grasps per toy; `?select=top-graspable` relies on TRIES.
        seed: root seed; `?select=top-graspable` relies on 0.
        workers: processes; 0 works in this one.

    Returns:
        The share of successful grasps by toy id, in the set's order; the same however the work is split.

    Raises:
        ConfigError: the set holds other objects than toys, whose ids do not stand for their content.
        ToyShiftError: a worker died.
    """
    if tries < 1 or workers < 0:
        raise ConfigError(f"tries is {tries} and workers {workers}; at least 1 and 0")
    objects = load_objects(spec)
    if not isinstance(objects, ToySet):
        raise ConfigError(f"graspability is measured of one set of toys, e.g. 'toys:train?n=500'; got {spec!r}")
    path = table_path(tries, seed)
    known = read_table(path)
    missing = [name for name in objects.ids if name not in known]
    total = 0.0
    with Progress("graspability", len(objects), "toy", initial=len(objects) - len(missing)) as bar:
        job = Job(spec, functools.partial(_opened, spec), functools.partial(_measure, tries, seed), f"measuring {spec}")
        for done, (name, successes) in enumerate(play(missing, job, min(workers, len(missing))), start=1):
            _append(path, {"id": name, "successes": successes, "tries": tries})
            total += successes / tries
            bar.update(1, mean=total / done)
    known = read_table(path)
    return {name: known[name] for name in objects.ids}
