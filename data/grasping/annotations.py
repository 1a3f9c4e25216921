"""Grasp annotations of objects: per object an NPZ of hand poses in the object's frame, and a JSON that describes it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, GraspError
from toyshift.core.files import atomic_path, json_hash, read_json, write_json
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, Pool, play
from toyshift.data.grasping.choose import given
from toyshift.data.grasping.expert import ExpertConfig, GraspExpert, lifts_at_once, present_situation
from toyshift.data.grasping.situation import Grasp
from toyshift.data.grasping.six_dof import search_six_dof
from toyshift.data.grasping.top_down import search_top_down
from toyshift.envs.tasks.grasp import GraspEnv

# what every NPZ holds, n grasps each
FIELDS = {
    "pose": "(n, 4, 4) float64, gripper to object frame: x closes, z approaches, origin between the finger tips [m]",
    "width": "(n,) float64, distance between the contacts [m]",
    "score": "(n,) float64, larger is better; of one search comparable, of two not",
    "alignment": "(n,) float64, mean cosine between contact normals and closing axis at the finger where it is less",
    "six_dof": "(n,) bool, whether the 6-DoF search found it; the other searches from above",
    "object_pose": "(n, 4, 4) float64, object to base frame (table at z = 0), where it lay when this was planned [m]",
    "outcome": "(n,) int8, in simulation: 1 lifted, 0 not, -1 not simulated",
}


@dataclasses.dataclass(frozen=True)
class AnnotateConfig:
    """What is annotated.

    Attributes:
        objects: object set.
        out: folder of the files.
        robot: whose gripper, and whose reach.
        drops: times that each object is put on the table, in a rest pose each.
        grasps: most grasps per drop and grasp search, spread over those found from best to worst.
        simulate: whether each grasp is tried in simulation.
        seed: root seed.
    """

    objects: str
    out: Path
    robot: str = "panda"
    drops: int = 4
    grasps: int = 16
    simulate: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.drops, self.grasps) < 1:
            raise ConfigError(f"drops is {self.drops} and grasps {self.grasps}; at least 1 each")

    @property
    def key(self) -> str:
        """Hash of everything that the files depend on, but where they lie."""
        own = {k: v for k, v in dataclasses.asdict(self).items() if k != "out"}
        return json_hash(own | {"planner": dataclasses.asdict(ExpertConfig())})


def annotate(config: AnnotateConfig, pool: Pool | None = None) -> dict[str, Any]:
    """Writes `ID.npz` and `ID.json` for every object of a set; run again after a kill, it goes on.

    Args:
        config: what is annotated.
        pool: processes that share the objects; this one does them all without.

    Returns:
        objects, grasps, none (ids without a grasp), lifted (share, None where nothing was simulated).

    Raises:
        ConfigError: the folder holds annotations made with other settings.
    """
    out = Path(config.out)
    with _opened(config) as env, Progress("grasps", len(env.objects), "object") as bar:
        out.mkdir(parents=True, exist_ok=True)  # not before the environment has been found to exist
        ids = env.objects.ids
        facts = {name: read_json(path) for name in ids if (path := _path(config, name)).exists()}
        if other := next((name for name, fact in facts.items() if fact.get("key") != config.key), None):
            told = f"{_path(config, other)} was made with other settings"
            raise ConfigError(f"{told}; give another --out, or remove it")
        bar.update(len(facts), grasps=sum(f["grasps"] for f in facts.values()))
        missing = [name for name in ids if name not in facts]
        made: Iterable[dict[str, Any]] = (_annotate(config, env, name) for name in missing)
        if pool is not None:
            work = functools.partial(_annotate, config)
            job = Job(config.key, functools.partial(_opened, config), work, f"annotating {config.objects}")
            made = play(missing, job, pool=pool)
        for fact in made:
            facts[fact["id"]] = fact
            bar.update(1, grasps=sum(f["grasps"] for f in facts.values()))
    tried, lifted = sum(f["simulated"] for f in facts.values()), sum(f["lifted"] for f in facts.values())
    return {
        "objects": len(facts), "grasps": sum(f["grasps"] for f in facts.values()),
        "none": [name for name in ids if not facts[name]["grasps"]], "lifted": lifted / tried if tried else None,
        "out": out,
    }  # fmt: skip


def _opened(config: AnnotateConfig) -> contextlib.AbstractContextManager[GraspEnv]:
    return contextlib.closing(GraspEnv(objects=config.objects, robot=config.robot, cameras=()))


def _path(config: AnnotateConfig, name: str) -> Path:
    """Returns where an object's description lies; its grasps lie beside it."""
    return Path(config.out) / (re.sub(r"[^A-Za-z0-9._-]", "_", name) + ".json")


def _annotate(config: AnnotateConfig, env: GraspEnv, name: str) -> dict[str, Any]:
    path = _path(config, name)
    rows: dict[str, list[Any]] = {field: [] for field in FIELDS}
    for drop in range(config.drops):
        env.reset(seed=config.seed, options={"episode": drop, "object": name})
        position, rotation = env.object_pose()
        there = _matrix(position, rotation)
        for grasp, six_dof in _found(env, drop, config):
            pose = np.linalg.inv(there) @ _matrix(grasp.position, grasp.rotation)
            lifted = int(lifts(env, name, pose, drop, config.seed)) if config.simulate else -1
            values = pose, grasp.width, grasp.score, grasp.alignment, six_dof, there, lifted
            for field, value in zip(FIELDS, values, strict=True):
                rows[field].append(value)
    count = len(rows["width"])
    kinds = {"six_dof": np.bool_, "outcome": np.int8}
    shapes = {"pose": (count, 4, 4), "object_pose": (count, 4, 4)}
    arrays: dict[str, NDArray[Any]] = {
        f: np.array(v, kinds.get(f, np.float64)).reshape(shapes.get(f, (count,))) for f, v in rows.items()
    }
    with atomic_path(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    outcome = arrays["outcome"]
    fact = {
        "id": name, "name": env.object.name, "source": env.object.source, "robot": config.robot,
        "opening_m": env.robot.gripper.opening, "grasps": count, "simulated": int(np.sum(outcome >= 0)),
        "lifted": int(np.sum(outcome == 1)), "drops": config.drops, "seed": config.seed, "key": config.key,
        "fields": FIELDS,
    }  # fmt: skip
    write_json(path, fact)  # after the NPZ: what has a JSON is complete
    return fact


def _found(env: GraspEnv, drop: int, config: AnnotateConfig) -> list[tuple[Grasp, bool]]:
    """Grasps of both searches that the arm reaches, each with whether it is the 6-DoF search's."""
    found: list[tuple[Grasp, bool]] = []
    # of a jaw only from above: the other search takes a grasp for its half-turn, and the arm reaches few of its poses
    for six_dof in (False, True) if env.robot.gripper.symmetric else (False,):
        situation = present_situation(env, ExpertConfig(), episode_rng(config.seed, drop, f"annotate:{six_dof}"))
        try:
            grasps = search_six_dof(situation) if six_dof else search_top_down(situation)
        except GraspError:
            continue
        spread = np.unique(np.linspace(0, len(grasps) - 1, config.grasps).astype(int))
        found += [(grasps[i], six_dof) for i in spread if situation.reach(grasps[i])]
    return found


def lifts(env: GraspEnv, name: str, pose: Array, drop: int, seed: int) -> bool:
    """Whether a grasp (4, 4) in the object's frame lifts it, at the first attempt, from the start of a drop."""
    env.reset(seed=seed, options={"episode": drop, "object": name})
    expert = GraspExpert(env, given(pose))
    expert.reset(seed, drop)
    return lifts_at_once(expert)


def _matrix(position: Array, rotation: Array) -> Array:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix
