"""Many environments in one process on worker threads: the vector environment behind the ids that ToyShift registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Image
from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.core.fields import check_value
from toyshift.core.workers import core_count
from toyshift.envs.threads import Team

Observation = dict[str, Any]
Info = dict[str, Any]
# reset options that may be a list or array with one entry per environment
PER_ENV = ("episode", "object", "look", "shift", "purpose")


class Played(NamedTuple):
    """What one environment did in one step.

    Attributes:
        observation, info: as in Gymnasium; after an autoreset those of the new episode.
        reward, terminated, truncated: as in Gymnasium.
        final: with autoreset SAME_STEP, the last observation and info of the episode that ended; else None.
    """

    observation: Observation
    info: Info
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    final: tuple[Observation, Info] | None = None


class ToyGraspVectorEnv(VectorEnv[Observation, Float32, NDArray[Any]]):
    """## Description
    `num_envs` grasp environments, each with a simulator and an object of its own. Environment i lives on worker thread
    i mod `threads`, which simulates and draws it: MuJoCo lets go of Python's lock meanwhile, so threads run side by
    side without copying anything between processes. Controllers, rewards and infos have their turn on the calling
    thread. Made by `gym.make_vec("toyshift/Grasp-v0", num_envs=8)`.

    ## Action and Observation Space
    Those of the single environment with a first axis of `num_envs`. Actions outside the box are clipped; a number that
    is not finite is an error that names environment and entry, and then no environment has stepped.

    ## Episodes
    `reset(seed=s)`: environment j plays the episodes j, j + N, j + 2N, ... of root seed s, so that N environments play
    what one would. `reset(seed=[s0, s1, ...])`: environment j plays the episodes 0, 1, 2, ... of root seed sj, as
    Gymnasium's SyncVectorEnv does. `reset()` goes on with the next episodes. The same (seed, episode) gives the same
    observations, bit for bit on one machine, whatever `num_envs`, `threads` or order.

    Options of reset: those of the single environment, for all; "episode", "object", "look", "shift" and "purpose"
    may also be a list or array with one entry per environment. One "episode" e for all is where counting starts:
    environment j plays e + j (e under a list of seeds). "reset_mask" (N,) bool restarts some environments only.

    ## Autoreset
    NEXT_STEP (Gymnasium's default): the step after the last one ignores the action, gives reward 0 and the next
    episode's first observation. SAME_STEP: the last step gives the next episode's first observation; the last ones are
    in `infos["final_obs"]` and `infos["final_info"]`. DISABLED: the caller resets with `options={"reset_mask": ended}`.

    ## Arguments
    - `num_envs`: number of environments.
    - `max_episode_steps`: time limit [control steps], None for none; `make_vec` gives the registered one.
    - `threads`: worker threads; by default one per core, at most one per environment.
    - `autoreset_mode`: an AutoresetMode or its value.
    - `copy`: True gives every observation arrays of its own. False uses the same ones again: faster by a few percent,
      but whoever keeps the last observation (Stable-Baselines3, replay buffers) finds the present one in it.
    - `render_mode`: None or "rgb_array".
    - everything else goes to the single environment.

    A closed environment, a step before `reset` and a step of an ended episode under DISABLED raise ConfigError.
    """

    entry_point: ClassVar[str] = "toyshift.envs.tasks.grasp:GraspEnv"

    def __init__(
        self,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        threads: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        counts = {"num_envs": num_envs, "threads": threads, "max_episode_steps": max_episode_steps}
        for name, count in counts.items():
            check_value(name, count, int if name == "num_envs" else int | None)
        if any(count is not None and count < 1 for count in counts.values()):
            raise ConfigError(f"{', '.join(f'{k}={v}' for k, v in counts.items())}: each must be at least 1")
        modes = {mode.value: mode for mode in AutoresetMode}
        mode = autoreset_mode.value if isinstance(autoreset_mode, AutoresetMode) else str(autoreset_mode)
        if mode not in modes:
            raise UnknownNameError("autoreset mode", mode, modes)
        self.num_envs, self.max_episode_steps, self.copy = num_envs, max_episode_steps, copy
        self.autoreset_mode, self.render_mode = modes[mode], render_mode
        create = load_env_creator(self.entry_point)
        self.envs: tuple[Any, ...] = tuple(create(render_mode=render_mode, **options) for _ in range(num_envs))
        self.metadata = {**self.envs[0].metadata, "autoreset_mode": self.autoreset_mode}
        self.single_observation_space: gym.Space[Any] = self.envs[0].observation_space
        self.single_action_space: gym.Space[Any] = self.envs[0].action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.threads = min(num_envs, threads or core_count())
        self._draws = bool(self.envs[0].config.cameras)
        self._team = Team(self.envs, self.threads, "environment")
        self._ready = self._begun = False
        self._over = np.zeros(num_envs, np.bool_)
        self._elapsed = np.zeros(num_envs, np.int64)
        self._episodes = np.arange(num_envs) - num_envs
        self._strides = np.full(num_envs, num_envs, np.int64)  # 1 where an environment counts for itself
        self._last: list[Observation] = [{} for _ in range(num_envs)]
        self._buffer = create_empty_array(self.single_observation_space, num_envs, fn=np.zeros)

    # ---------------------------------------------------------------- episodes

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Starts episodes in all environments, or in those of options["reset_mask"]; see the class for seeds and
        options.

        Returns:
            batched observation, of all environments even where only some were reset, and infos of those that were.

        Raises:
            ConfigError: closed, or a seed, mask or option that cannot be.
        """
        if not isinstance(options, Mapping | None):
            raise ConfigError(f"reset options are {shown(options)}; they must be a dict")
        options = dict(options or {})
        chosen = self._masked(options.pop("reset_mask", None))
        single = [self._option(options, i, seed) for i in range(self.num_envs)]
        infos: Info = {}
        for i, (_, info) in zip(chosen, self.reset_each(seed, single, chosen), strict=True):
            infos = self._add_info(infos, info, i)
        return self._batched(), infos

    def reset_each(
        self, seed: int | Sequence[int | None] | None, options: Sequence[
            dict[str, Any]
        ], chosen: Sequence[int] | None = None
    ) -> list[tuple[Observation, Info]]:
        """Starts episodes and returns (observation, info) of each chosen environment, unbatched: for adapters.

        Args:
            seed: as in `reset`.
            options: reset options of every environment.
            chosen: indices of the environments to reset; all by default.
        """
        self._check_open()
        chosen = range(self.num_envs) if chosen is None else chosen
        if not self._ready and len(chosen) < self.num_envs:
            raise ConfigError("reset all environments before resetting some of them with reset_mask")
        seeds = self._seeds(seed, chosen)
        starts = {i: {"episode": int(self._episodes[i] + self._strides[i]), **options[i]} for i in chosen}

        def start(i: int) -> tuple[Observation, Info]:
            observation, info = self.envs[i].reset(seed=seeds[i], options=starts[i])
            return observation, info

        self._ready = False  # until every environment has begun
        begun = self._team.each(start, chosen)
        for i, (observation, _) in zip(chosen, begun, strict=True):
            self._last[i], self._episodes[i] = observation, starts[i]["episode"]
            self._over[i], self._elapsed[i] = False, 0
        self._ready = self._begun = True
        return begun

    def _seeds(self, seed: int | Sequence[int | None] | None, chosen: Sequence[int]) -> list[int | None]:
        """Returns a seed or None per environment, and sets how those that get one count their episodes."""
        if seed is None and self._begun:
            return [None] * self.num_envs
        if seed is None or isinstance(seed, int | np.integer):
            root = None if seed is None else int(seed)
            super().reset(seed=root)
            if root is None:
                root = int(self.np_random.integers(2**31))
            for i in chosen:
                self._strides[i], self._episodes[i] = self.num_envs, i - self.num_envs
            return [root] * self.num_envs
        seeds = [None if one is None else int(one) for one in seed]
        if len(seeds) != self.num_envs:
            raise ConfigError(f"{len(seeds)} seeds for {self.num_envs} environments; give one each, or one for all")
        for i in chosen:
            if seeds[i] is not None:
                self._strides[i], self._episodes[i] = 1, -1
        return seeds

    def _option(self, options: dict[str, Any], i: int, seed: int | Sequence[int | None] | None) -> dict[str, Any]:
        """Returns the reset options of environment i."""
        own = dict(options)
        for name in PER_ENV:
            value = options.get(name)
            if isinstance(value, list | np.ndarray):
                if len(value) != self.num_envs:
                    raise ConfigError(f"reset option {name} has {len(value)} entries for {self.num_envs} environments")
                own[name] = value[i]
            elif name == "episode" and isinstance(value, int | np.integer):
                # counts its own
                alone = self._strides[i] == 1 if seed is None else not isinstance(seed, int | np.integer)
                own[name] = int(value) if alone else int(value) + i
        return own

    def _masked(self, mask: Any) -> Sequence[int]:
        """Returns the environments that a reset mask names, all for None."""
        if mask is None:
            return range(self.num_envs)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ConfigError(f"reset_mask is {mask.shape} of {mask.dtype}; it must be ({self.num_envs},) of bool")
        if not mask.any():
            raise ConfigError("reset_mask names no environment; at least one entry must be True")
        return [int(i) for i in np.flatnonzero(mask)]

    # ---------------------------------------------------------------- stepping

    def step(self, actions: Float32) -> tuple[Observation, Array, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Steps every environment once.

        Args:
            actions: (num_envs, A), physical units.

        Returns:
            observations, rewards (N,) float64, terminations (N,) bool, truncations (N,) bool, infos.

        Raises:
            ConfigError: closed, not begun, over, or actions of another shape or not finite; then none has stepped.
            WorkerError: an environment failed; `reset` begins anew.
        """
        infos: Info = {}
        played = self.step_each(actions)
        for i, one in enumerate(played):
            if one.final is not None:
                infos = self._add_info(infos, {"final_obs": one.final[0], "final_info": one.final[1]}, i)
            infos = self._add_info(infos, one.info, i)
        rewards = np.array([one.reward for one in played], np.float64)
        terminations = np.array([one.terminated for one in played], np.bool_)
        truncations = np.array([one.truncated for one in played], np.bool_)
        return self._batched(), rewards, terminations, truncations, infos

    def step_each(self, actions: Float32) -> list[Played]:
        """Steps every environment once and returns what each did, unbatched: for adapters; see `step`."""
        self._check_open()
        if not self._ready:
            raise ConfigError("call reset() first")
        if self.autoreset_mode is AutoresetMode.DISABLED and self._over.any():
            over = np.flatnonzero(self._over).tolist()
            raise ConfigError(
                f"the episodes of environments {over} are over: reset them with options={{'reset_mask': ...}}"
            )
        actions = self._checked(actions)
        self._ready = False  # until every environment has stepped
        judged: dict[int, Played] = {}  # what is still to be seen

        def judge(i: int) -> Played | None:
            judged[i] = self._judge(i)
            return None if self._over[i] or self._draws else judged[i]._replace(observation=self.envs[i].observe())

        legs = ((lambda i: self._command(i, actions[i]), self._simulate), (judge, lambda i: self._see(i, judged[i])))
        played = self._team.relay(legs, range(self.num_envs))
        self._ready = True
        self._last = [one.observation for one in played]
        return played

    def _checked(self, actions: Any) -> Float32:
        shape = self.action_space.shape
        try:
            values = np.asarray(actions, np.float32)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"actions are no array of numbers of shape {shape}: {error}") from error
        if values.shape != shape:
            raise ConfigError(f"actions of shape {values.shape}; {self.num_envs} environments take {shape}")
        bad = ~np.isfinite(values) & ~self._over[:, None]  # an environment that is about to be reset ignores its action
        if bad.any():
            env, entry = (int(k) for k in np.argwhere(bad)[0])
            name = self.envs[env].action_contract.names[entry]
            raise ConfigError(f"environment {env}: action entry {entry} ({name}) is {values[env, entry]}")
        return values

    def _command(self, i: int, action: Float32) -> None:
        """First part of a step of environment i, on the calling thread."""
        if not self._over[i]:
            self.envs[i].command(action)

    def _simulate(self, i: int) -> Played | None:
        """Second part, on its own thread."""
        if self._over[i]:  # autoreset NEXT_STEP
            return Played(*self._begin_next(i))
        self.envs[i].simulate()
        return None

    def _judge(self, i: int) -> Played:
        """Third part, on the calling thread."""
        reward, terminated, info = self.envs[i].outcome()
        self._elapsed[i] += 1
        truncated = self.max_episode_steps is not None and bool(self._elapsed[i] >= self.max_episode_steps)
        self._over[i] = terminated or truncated
        return Played({}, info, reward, terminated, truncated)

    def _see(self, i: int, judged: Played) -> Played:
        """Last part, on its own thread: draws, and begins the next episode at once if that is due."""
        observation = self.envs[i].observe()
        if self._over[i] and self.autoreset_mode is AutoresetMode.SAME_STEP:
            begun, info = self._begin_next(i)
            return judged._replace(observation=begun, info=info, final=(observation, judged.info))
        return judged._replace(observation=observation)

    def _begin_next(self, i: int) -> tuple[Observation, Info]:
        self._episodes[i] += self._strides[i]
        self._over[i], self._elapsed[i] = False, 0
        observation, info = self.envs[i].reset(options={"episode": int(self._episodes[i])})
        return observation, info

    def _batched(self) -> Observation:
        """Returns the last observations as one batch."""
        out = create_empty_array(
            self.single_observation_space, self.num_envs, fn=np.zeros,
        ) if self.copy else self._buffer
        return cast("Observation", concatenate(self.single_observation_space, self._last, cast("Any", out)))

    # ---------------------------------------------------------------- single environments

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Calls a method of every environment on its own thread, or reads an attribute; returns a tuple of (N,)
        answers.
        """
        return self.call_each(name, range(self.num_envs), *args, **kwargs)

    def call_each(self, name: str, chosen: Sequence[int], *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """As `call`, of some environments."""
        self._check_open()
        if name == "_max_episode_steps":  # this class counts steps, as Gymnasium's TimeLimit does elsewhere
            return (self.max_episode_steps,) * len(chosen)

        def ask(i: int) -> Any:
            value = self.envs[i].get_wrapper_attr(name)
            return value(*args, **kwargs) if callable(value) else value

        return tuple(self._team.each(ask, chosen))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Returns an attribute of every environment."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of every environment: to its entry of a list or tuple of length num_envs, or all to one
        value.
        """
        if not isinstance(values, list | tuple):
            values = [values] * self.num_envs
        if len(values) != self.num_envs:
            raise ConfigError(f"{len(values)} values of {name} for {self.num_envs} environments")
        self._check_open()
        self._team.each(lambda i: self.envs[i].set_wrapper_attr(name, values[i]), range(self.num_envs))

    def render(self) -> tuple[Image, ...] | None:
        """Returns a picture (256, 256, 3) of every environment in render mode "rgb_array", else None."""
        return None if self.render_mode is None else self.call("render")

    def _check_open(self) -> None:
        if self.closed:
            raise ConfigError("the vector environment is closed")

    def close_extras(self, **_: Any) -> None:
        """Closes every environment on its own thread and ends the threads; `close` may be called twice."""
        self._team.close()
