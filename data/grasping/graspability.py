"""Measures the graspability of toys: the share of sampled antipodal grasps that lift a toy in simulation, by toy id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, GraspError, ToyShiftError
from toyshift.core.files import locked
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import worker_pool
from toyshift.data.grasping.expert import GraspExpert
from toyshift.data.grasping.top_down import Grasp, SurfaceSamples, plan_grasps
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys.graspability import TRIES, read_table, table_path
from toyshift.toys.random_toys.toy_set import ToySet
from toyshift.toys.sources import load_objects

MAX_STEPS = 100


class AnyGraspExpert(GraspExpert):
    """Takes any feasible grasp in place of the best one, so that the share of successes says how forgiving the shape is."""

    name = "any grasp"

    def reset(self, seed: int, episode: int) -> None:
        self._pick = episode_rng(seed, episode, "pick")
        self._surface = SurfaceSamples(self.env.object.mesh, self.config.planner.points)
        super().reset(seed, episode)

    def _plan(self) -> Grasp:
        env = self.env
        position, rotation = env.object_pose()
        self._planned_for = position, rotation
        grasps = plan_grasps(self._surface, position, rotation, env.object_position(), env.robot.gripper, self._yaw(), self._rng, self.config.planner)
        return grasps[int(self._pick.integers(len(grasps)))]


def count_successes(env: GraspEnv, toy_id: str, tries: int, seed: int = 0) -> int:
    """How many of `tries` grasps lift a toy; each in another of its rest poses, at another place.

    A pose in which the planner finds no grasp counts as a failure; so does a grasp that the toy slips out of, whatever a
    second one would do. Try k depends on (seed, k) and the toy alone.
    """
    expert = AnyGraspExpert(env)
    successes = 0
    for k in range(tries):
        env.reset(seed=seed, options={"episode": k, "object": toy_id})
        try:
            expert.reset(seed, k)
        except GraspError:
            continue
        for _ in range(MAX_STEPS):
            action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
            if expert.attempts > 1:
                break
            _, over, info = env.advance(action)
            if over:
                successes += bool(info["is_success"])
                break
    return successes


_session: dict[str, GraspEnv] = {}  # one environment per worker process, kept between toys


def _measure(spec: str, toy_id: str, tries: int, seed: int) -> tuple[str, int]:
    if spec not in _session:
        _session[spec] = GraspEnv(objects=spec, cameras=())
    return toy_id, count_successes(_session[spec], toy_id, tries, seed)


def _measured(spec: str, ids: list[str], tries: int, seed: int, workers: int) -> Iterator[tuple[str, int]]:
    if workers == 0:
        try:
            yield from (_measure(spec, name, tries, seed) for name in ids)
        finally:  # a file behind the same spec may hold other toys next time
            for env in _session.values():
                env.close()
            _session.clear()
        return
    with worker_pool(max(1, min(workers, len(ids)))) as pool:
        try:
            for future in as_completed([pool.submit(_measure, spec, name, tries, seed) for name in ids]):
                yield future.result()
        except BrokenProcessPool as error:
            raise ToyShiftError(f"a worker process died while measuring {spec} (out of memory?); what is measured is kept: run the same command again") from error


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
        for done, (name, successes) in enumerate(_measured(spec, missing, tries, seed, workers), start=1):
            _append(path, {"id": name, "successes": successes, "tries": tries})
            total += successes / tries
            bar.update(1, mean=total / done)
    known = read_table(path)
    return {name: known[name] for name in objects.ids}
