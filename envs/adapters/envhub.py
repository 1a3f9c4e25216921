"""What LeRobot's evaluation needs: `make_env` as its EnvHub calls it, and the files of a Hub repository that has it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import TimeLimit

from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.core.files import write_text
from toyshift.core.seeds import object_of_episode
from toyshift.core.world import episode_options
from toyshift.envs.adapters.vector import ToyGraspVectorEnv
from toyshift.envs.tasks.grasp import GraspEnv

TEMPLATES = Path(__file__).parents[1] / "assets" / "envhub"
HUB_FILES = ("env.py", "README.md")


LEROBOTS = "lerobot_"  # options of reset that LeRobot gives to wrappers of its own


class LeRobotEnv(TimeLimit[Any, Any]):
    """A grasp environment with its time limit, which shows at the outside what LeRobot reads there: `task_description`
    and `task`.

    Args:
        env: the environment.
        limit: of an episode [control steps].
        root_seed: LeRobot's seed s means episode s of `toyshift evaluate --seed ROOT_SEED`; None: episode 0 of root
            seed s.
    """

    def __init__(self, env: GraspEnv, limit: int, root_seed: int | None = None) -> None:
        super().__init__(env, limit)
        self._grasp, self._root_seed = env, root_seed

    @property
    def task_description(self) -> str:
        """The present episode's instruction."""
        return str(self.env.get_wrapper_attr("task_description"))

    @property
    def task(self) -> str:
        """The same under LeRobot's other name."""
        return self.task_description

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode; LeRobot's own options are left out."""
        options = _without_lerobots(options)
        if seed is not None and self._root_seed is not None:
            options, seed = start_of(self._grasp, self._root_seed, seed) | options, self._root_seed
        return super().reset(seed=seed, options=options)


class LeRobotVectorEnv(ToyGraspVectorEnv):
    """Grasp environments on worker threads, whose `reset` takes LeRobot's seeds as `LeRobotEnv` does."""

    def __init__(self, *args: Any, root_seed: int | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._root_seed = root_seed

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes in all environments; a seed must be a list of one for each where there is a root seed.

        Raises:
            ConfigError: it is no such list.
        """
        options = _without_lerobots(options)
        if seed is None or self._root_seed is None:
            return super().reset(seed=seed, options=options)
        if not isinstance(seed, Sequence) or None in seed or len(seed) != self.num_envs:
            raise ConfigError(f"seed is {shown(seed)}; with a root seed give one for each of {self.num_envs}")
        numbers = [int(one) for one in seed if one is not None]
        starts = [start_of(env, self._root_seed, one) for env, one in zip(self.envs, numbers, strict=True)]
        each = {key: [start[key] for start in starts] for key in ("episode", "object")}
        return super().reset(seed=[self._root_seed] * self.num_envs, options=each | options)


def start_of(env: GraspEnv, root_seed: int, episode: int) -> dict[str, Any]:
    """Returns the reset options with which an environment starts an episode of `toyshift evaluate` with a root seed."""
    object_id, _ = object_of_episode([one.id for one in env.objects], root_seed, episode)
    return episode_options(object_id, episode, env.config.purpose)


def _without_lerobots(options: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (options or {}).items() if not name.startswith(LEROBOTS)}


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None, *,
    env_id: str = "toyshift/Grasp-v0", objects: Sequence[str] = (
        "toys:test",
    ), max_episode_steps: int | None = None, root_seed: int | None = None, **options: Any,
) -> dict[str, dict[int, VectorEnv[Any, Any, Any]]]:  # fmt: skip
    """Makes {suite: {task number: vector environment}}, a suite for each object set, with autoreset SAME_STEP.

    Args:
        n_envs: environments in each vector.
        use_async_envs: False gives Gymnasium's SyncVectorEnv, of which LeRobot makes videos. True gives worker threads,
            faster, but LeRobot makes no videos of it (Gymnasium's AsyncVectorEnv has no `envs`, which LeRobot 0.4.4
            reads). One environment needs no threads.
        cfg: LeRobot's environment configuration; its `task`, where given, names object sets, separated by commas, in
            place of `objects`.
        env_id: a registered id.
        objects: object sets.
        max_episode_steps: time limit [control steps]; the registered one by default.
        root_seed: see `LeRobotEnv`.
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
    same = AutoresetMode.SAME_STEP
    envs: dict[str, dict[int, VectorEnv[Any, Any, Any]]] = {}
    for name, one in zip(names, sets, strict=True):
        chosen, limit = chosen_options(env_id, max_episode_steps, {**options, "objects": one})

        def single(chosen: dict[str, Any] = chosen, limit: int = limit) -> LeRobotEnv:
            return LeRobotEnv(GraspEnv(**chosen), limit, root_seed)

        threaded = (
            LeRobotVectorEnv(n_envs, limit, autoreset_mode=same, root_seed=root_seed, **chosen)
            if use_async_envs and n_envs > 1 else None
        )  # fmt: skip
        envs[name] = {0: threaded or SyncVectorEnv([single] * n_envs, autoreset_mode=same)}
    return envs


def chosen_options(env_id: str, limit: int | None, options: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Returns all options of a registered environment as LeRobot evaluates in it, and its time limit [control steps].

    Raises:
        ConfigError: there is no time limit.
        UnknownNameError: no such id.
    """
    spec = _spec(env_id)
    limit = limit or spec.max_episode_steps
    if limit is None:
        raise ConfigError(f"{env_id} has no time limit, which LeRobot needs: give max_episode_steps")
    return {**spec.kwargs, "render_mode": "rgb_array", "purpose": "test", **options}, limit


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
