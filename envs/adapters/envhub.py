"""What LeRobot's evaluation needs: `make_env` as its EnvHub calls it, and the files of a Hub repository that has it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import write_text
from toyshift.envs.adapters.vector import ToyGraspVectorEnv
from toyshift.envs.tasks.grasp import GraspEnv

TEMPLATES = Path(__file__).parents[1] / "assets" / "envhub"
HUB_FILES = ("env.py", "README.md")


class LeRobotEnv(TimeLimit[Any, Any]):
    """A grasp environment with its time limit, which shows at the outside what LeRobot reads there: `task_description`
    and `task`.
    """

    @property
    def task_description(self) -> str:
        """The present episode's instruction."""
        return str(self.env.get_wrapper_attr("task_description"))

    @property
    def task(self) -> str:
        """The same under LeRobot's other name."""
        return self.task_description


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None, *,
    env_id: str = "toyshift/Grasp-v0", objects: Sequence[str] = (
        "toys:test",
    ), max_episode_steps: int | None = None, **options: Any,
) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:  # fmt: skip
    """Makes {suite: {task number: vector environment}}, a suite for each object set, with autoreset SAME_STEP.

    Args:
        n_envs: environments in each vector.
        use_async_envs: False gives Gymnasium's SyncVectorEnv, of which LeRobot makes videos. True gives worker threads,
            faster, but LeRobot makes no videos of it (Gymnasium's AsyncVectorEnv has no `envs`, which LeRobot 0.4.4
            reads).
        cfg: LeRobot's environment configuration; its `task`, where given, names object sets, separated by commas, in
            place of `objects`.
        env_id: a registered id.
        objects: object sets.
        max_episode_steps: time limit [control steps]; the registered one by default.
        **options: of the environment, e.g. image_size=128; its purpose is "test", since LeRobot evaluates in it.

    Raises:
        ConfigError: fewer than one environment, or no or twice the same object set.
        UnknownNameError: no such id, option or set.
    """
    task = getattr(cfg, "task", None)
    sets = [one.strip() for one in task.split(",")] if task else list(objects)
    names = [re.sub(r"[^\w.@:+?=&-]", "_", one) for one in sets]  # LeRobot makes folders of them
    if n_envs < 1 or not sets or len(set(names)) < len(names):
        raise ConfigError(
            f"n_envs is {n_envs} and the object sets are {sets}; give at least one of each, and every set once"
        )
    spec = _spec(env_id)
    limit = max_episode_steps or spec.max_episode_steps
    if limit is None:
        raise ConfigError(f"{env_id} has no time limit, which LeRobot needs: give max_episode_steps")
    same = AutoresetMode.SAME_STEP
    envs: dict[str, dict[int, VectorEnv[Any, Any, Any]]] = {}
    for name, one in zip(names, sets, strict=True):
        chosen = {**spec.kwargs, "render_mode": "rgb_array", "purpose": "test", **options, "objects": one}

        def single(chosen: dict[str, Any] = chosen) -> LeRobotEnv:
            return LeRobotEnv(GraspEnv(**chosen), limit)

        threaded = ToyGraspVectorEnv(n_envs, limit, autoreset_mode=same, **chosen) if use_async_envs else None
        envs[name] = {0: threaded or SyncVectorEnv([single] * n_envs, autoreset_mode=same)}
    return envs


def _spec(env_id: str) -> Any:
    if env_id not in gym.registry or not env_id.startswith("toyshift/"):
        raise UnknownNameError("environment", env_id, [name for name in gym.registry if name.startswith("toyshift/")])
    return gym.spec(env_id)


def write_hub_files(out: Path, *, env_id: str, objects: Sequence[str]) -> list[Path]:
    """Writes env.py and README.md of a Hub repository into a folder and returns their paths.

    Raises:
        ConfigError: one of them is there already.
        UnknownNameError: no such id.
    """
    _spec(env_id)
    paths = [out / name for name in HUB_FILES]
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise ConfigError(f"{', '.join(there)} exists already; choose another folder or remove it")
    for path in paths:
        text = (TEMPLATES / f"{path.name}.in").read_text(encoding="utf-8")
        write_text(path, text.replace("ENV_ID", repr(env_id)).replace("OBJECTS", repr(tuple(objects))))
    return paths
