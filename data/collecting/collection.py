"""Collects demonstrations of the scripted expert; resumable, and the same dataset however the work is split."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, SIM_STATE, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, FileError, GraspError, ToyShiftError, UnknownNameError
from toyshift.core.files import json_hash, read_json, write_json, write_text
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import ray_package, ray_pool, worker_pool
from toyshift.data.collecting.disturbance import Disturbance, Disturber
from toyshift.data.collecting.fragmentation import SubDataset, begin
from toyshift.data.collecting.takeover import Starter, TakeOver
from toyshift.data.collecting.variety import Variety
from toyshift.data.episode import (
    EXECUTED,
    Encoded,
    Episode,
    encode_episode,
    episode_indices,
    episode_path,
    write_encoded,
    write_episode,
)
from toyshift.data.grasping.choose import GRASP_SEARCHES, make_expert
from toyshift.data.grasping.expert import ExpertConfig, GraspExpert
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.cameras import CAMERAS, Camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.render.renderer import gl_renderer_name
from toyshift.envs.robots import ROBOTS
from toyshift.envs.tasks.grasp import GraspEnv

MAX_STEPS = 100
GIVE_UP = 50  # attempts without any success after which collection stops
KEEP = ("successes", "failed")
LATER = ("shift", "keep", "variety", "sub_dataset", "take_over", "planner")  # options that older datasets do not have: their keys stay what they were
LEDGER = "attempts.jsonl"
CONFIG = "collect.json"


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """What to collect.

    Attributes:
        objects: object set to play with; attempt i takes object i modulo the set's size.
        episodes: how many successful demonstrations.
        out: folder of the dataset.
        workers: processes; 0 works in this one.
        seed: root seed; attempt i draws everything from (seed, i).
        action_mode: "eef_delta" or "joint_pos".
        cameras: recorded cameras, names and `Camera`s.
        image_size: height and width [pixels].
        disturb: whether the expert is disturbed (and recovers); see Disturbance.
        robot: name in `toyshift.envs.robots.ROBOTS`.
        task: "grasp" or "pick"; see EnvConfig.
        clutter: how many other objects lie on the table, e.g. 4 or "2-6"; None is the task's own number.
        shift: how far the episodes are from the training distribution, e.g. "camera-azimuth=3"; see `envs.shifts`.
        planner: name in `choose.GRASP_SEARCHES`: whether the 6-DoF planner helps out ("auto"), is never asked ("top-down") or asked first ("6dof").
        variety: how far demonstrations differ in pace, approach and start pose, 0 to 1; see `variety.Variety`.
        ray: address of a Ray cluster that plays instead of local processes, or "local"; see `core.workers.ray_pool`.
        keep: "successes", or "failed" to store the attempts that failed on the way as well, with `success` false and their `cause`.
        sub_dataset: ranges that looks, places and targets are drawn from; None for the ordinary ones.
        take_over: who plays the beginning of every episode, before the expert takes over and is recorded; None: nobody.
    """

    objects: str
    episodes: int
    out: Path
    workers: int = 2
    seed: int = 0
    action_mode: str = "eef_delta"
    cameras: tuple[str | Camera, ...] = CAMERAS
    image_size: int = 96
    disturb: bool = True
    robot: str = "panda"
    task: str = "grasp"
    clutter: int | str | None = None
    shift: str = ""
    keep: str = "successes"
    sub_dataset: SubDataset | None = None
    planner: str = "auto"
    variety: float = 0.0
    ray: str = ""
    take_over: TakeOver | None = None

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.workers < 0:
            raise ConfigError(f"episodes is {self.episodes} and workers {self.workers}; at least 1 and 0")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be at least 0")
        if self.keep not in KEEP:
            raise UnknownNameError("choice for keep", self.keep, KEEP)
        if self.planner not in GRASP_SEARCHES:
            raise UnknownNameError("planner", self.planner, GRASP_SEARCHES)
        config = self.env_config()  # refuses an unknown action mode, camera or shift before anything is written
        if self.planner != "auto" and ROBOTS[self.robot].gripper.kind != "parallel":
            raise ConfigError(f"planner {self.planner!r} is for two fingers; the robot {self.robot!r} has a hand, which is planned for in a way of its own")
        if (part := self.sub_dataset) is not None and (part.robot_name != self.robot or config.others[1] or self.shift):
            raise ConfigError(f"sub-dataset {part.name!r} is for one object, the robot {part.robot_name} and no shift; got clutter {self.clutter!r}, {self.robot} and {self.shift!r}")

    def env_config(self) -> EnvConfig:
        config = EnvConfig(
            objects=self.objects, task=self.task, clutter=self.clutter, robot=self.robot, action_mode=self.action_mode, cameras=self.cameras,
            image_size=self.image_size, shift=self.shift,
        )
        return Variety(self.variety).environment(config)

    @functools.cached_property
    def key(self) -> str:
        """Hash of everything that decides what attempt i is; neither how many nor by whom."""
        usual = {f.name: f.default for f in dataclasses.fields(self) if f.name in LATER}
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in ("episodes", "out", "workers", "ray") and (k not in usual or v != usual[k])}
        if self.variety:
            values["variety"] = dataclasses.asdict(Variety(self.variety))
        return json_hash(values | {"expert": dataclasses.asdict(ExpertConfig()), "disturbance": dataclasses.asdict(Disturbance()), "fingerprint": _objects(self.objects).fingerprint})


def _objects(spec: str) -> Any:
    from toyshift.toys import load_objects

    return load_objects(spec)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What became of one attempt: its index, whether it succeeded, why not ("" for a success), and whether an episode of it is kept."""

    index: int
    success: bool
    cause: str
    seconds: float
    stored: bool


_session: dict[str, tuple[GraspEnv, GraspExpert, Starter | None]] = {}  # one environment per worker process, kept between attempts


def attempt(config: CollectConfig, index: int) -> Attempt:
    """Plays attempt `index`, and writes its episode file when it is to be kept."""
    done, episode = play(config, index)
    if episode is not None:
        write_episode(config.out, episode)
    return done


def play(config: CollectConfig, index: int) -> tuple[Attempt, Episode | None]:
    """Plays attempt `index` in this process's environment; returns its episode if it is to be kept."""
    begun = time.perf_counter()
    key = config.key
    if key not in _session:
        close_session()
        env = GraspEnv(config.env_config())
        _session[key] = env, make_expert(env), config.take_over.beginner.load() if config.take_over else None
    env, expert, starter = _session[key]
    episode, cause = record(env, expert, config, index, starter)
    return Attempt(index, not cause, cause, time.perf_counter() - begun, episode is not None), episode


def play_far_away(config: CollectConfig, index: int) -> tuple[Attempt, Encoded | None] | ToyShiftError:
    """Plays attempt `index` on a machine that may not see this one's files: the episode travels, and so does what went wrong."""
    try:
        done, episode = play(config, index)
        return done, None if episode is None else encode_episode(episode)
    except ToyShiftError as error:
        return error


def close_session() -> None:
    """Frees this process's environment."""
    for env, _, _ in _session.values():
        env.close()
    _session.clear()


def record(env: GraspEnv, expert: GraspExpert, config: CollectConfig, index: int, starter: Starter | None = None) -> tuple[Episode | None, str]:
    """Plays one attempt; returns its episode, or None where it is not to be kept, and the cause of the failure ("" for a success)."""
    factors: dict[str, Any] = {}
    if config.sub_dataset is None:
        observation, info = env.reset(seed=config.seed, options={"episode": index, "object": index % len(env.objects)})
    else:
        observation, info, factors["sub_dataset"] = begin(env, config.sub_dataset, config.seed, index)
    start_position, start_rotation = env.object_pose()
    expert.config = Variety(config.variety).expert(ExpertConfig(six_dof_from=GRASP_SEARCHES[config.planner]), episode_rng(config.seed, index, "variety"))
    try:
        expert.reset(config.seed, index)
        if config.take_over and starter:
            begun = config.take_over.play(env, starter, config.seed, index, episode_rng(config.seed, index, "take-over"))
            if begun is None:
                return None, "not taken over"
            factors["begun"] = begun
            expert.take_over()
            observation = env.observe()
    except GraspError:
        return None, "no grasp found"
    # where a beginner has played, the hand does not stand at its start any more: no turn to begin with
    disturbance = dataclasses.replace(Disturbance(), start_steps=0) if config.take_over else Disturbance()
    disturber = Disturber(disturbance, env.action_contract, episode_rng(config.seed, index, "disturbance"))
    frames: dict[str, list[Any]] = collections.defaultdict(list)
    terminated = False
    for _ in range(MAX_STEPS):
        action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
        _append(frames, env, observation, action)
        executed = disturber(action, expert.approaching) if config.disturb else action
        frames[EXECUTED].append(executed)
        observation, _, terminated, _, info = env.step(executed)
        if terminated:
            break
    success, cause = bool(info["is_success"]), ""
    if not success:
        cause = "unstable" if info["unstable"] else "dropped" if info["max_height"] > 0.05 else "missed"
        if config.keep != "failed":
            return None, cause
    for name, value in env.variation.values.items():
        frames[f"factor.{name}"] = [np.array([value], np.float32)] * len(frames[ACTION])
    position, rotation = expert.grasp.position, expert.grasp.rotation
    meta = {
        "task": env.task_description, "success": success, "seed": config.seed, "attempt": index, "object_id": env.object.id, "object_set": config.objects,
        "object_pose": np.block([[start_rotation, start_position[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]).round(6).tolist(),
        "grasp": {"position": position.round(6).tolist(), "rotation": rotation.round(6).tolist(), "width": round(expert.grasp.width, 6)},
        "attempts": expert.attempts, "model_hash": env.model_hash(), "factors": {"look": dataclasses.asdict(env.look), "disturbed": config.disturb} | factors,
    }
    if env.other_ids:  # the meaning of the simulator's state depends on them
        meta["others"] = list(env.other_ids)
        meta["environment"] = {"task": config.task, "clutter": config.clutter}
    if env.shifts.items:
        meta["factors"] |= {"shift": str(env.shifts), **env.variation.values}
    if config.variety:
        drawn = expert.config
        meta["factors"]["style"] = {"speed": drawn.speed, "hover": drawn.hover, "funnel": drawn.funnel, "tilt": drawn.planner.tilts[0]}
    if cause:
        meta["cause"] = cause
    return Episode(index, {k: np.stack(v) for k, v in frames.items()}, meta), cause


def _append(frames: dict[str, list[Any]], env: GraspEnv, observation: dict[str, Any], action: NDArray[np.float32]) -> None:
    for camera in env.config.camera_names:
        frames[image_key(camera)].append(observation["pixels"][camera])
        frames[mask_key(camera)].append(observation["masks"][camera])
        extrinsics, intrinsics = env.camera_pose(camera)
        frames[f"camera.{camera}.extrinsics"].append(extrinsics.astype(np.float32))
        frames[f"camera.{camera}.intrinsics"].append(intrinsics.astype(np.float32))
    frames[STATE].append(observation["agent_pos"])
    frames[ACTION].append(action)
    frames[SIM_STATE].append(env.sim_state())


# ---------------------------------------------------------------- the whole collection


def collect(config: CollectConfig, progress: bool = True) -> dict[str, Any]:
    """Collects `episodes` successes and writes the dataset; run again after a kill, it goes on.

    The dataset holds the first `episodes` successful attempts in order of index (and with keep="failed" the failed ones before the
    last of them), so the number of workers, and when the run was interrupted, change nothing of it.

    Returns:
        out, episodes (successes), failed (failures that are stored), attempts, yield (successes per attempt), causes of failure,
        episodes_per_s (successes), content_hash.

    Raises:
        ConfigError: the folder holds a dataset of another configuration.
        FileError: the disk is full; what is stored stays, and the same command goes on.
        ToyShiftError: the first attempts all failed, or a worker died.
    """
    try:
        return _collect(config, progress)
    except OSError as error:
        raise FileError(f"cannot write in {config.out} ({error}); finished episodes are kept: make room and run the same command again") from error


def _collect(config: CollectConfig, progress: bool) -> dict[str, Any]:
    out = Path(config.out)
    key = config.key
    done_before = _finished(out, key, config)
    if done_before is not None:
        return done_before
    if config.ray:
        ray_package()  # before the folder belongs to this configuration
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / CONFIG, {"key": key, "config": dataclasses.asdict(config) | {"out": str(out)}, "finished": None})
    begun = time.perf_counter()
    attempts = _load_ledger(out)
    old = len(attempts)
    with Progress("collect", config.episodes, "episode", initial=min(config.episodes, sum(a.success for a in attempts.values()))) as bar:
        for new in _attempts(config, attempts):
            attempts[new.index] = new
            with open(out / LEDGER, "a", encoding="utf-8") as ledger:
                ledger.write(_line(new))
            successes = sum(a.success for a in attempts.values())
            causes = collections.Counter(a.cause for a in attempts.values() if not a.success)
            if progress:
                bar.update(int(new.success), yield_=successes / len(attempts), **{k.replace(" ", "_"): str(v) for k, v in causes.items()})
            if successes == 0 and len(attempts) >= GIVE_UP:
                raise ToyShiftError(f"{len(attempts)} attempts at {config.objects} all failed ({dict(causes)}); try another object set")
    seconds = time.perf_counter() - begun
    first = [attempts[i] for i in range(_complete(attempts, config.episodes))]
    used = {a.index for a in first if a.stored}
    for index in episode_indices(out) - used:  # attempts beyond the last one needed, those still in flight at the end among them
        episode_path(out, index).unlink(missing_ok=True)
    env = GraspEnv(config.env_config())
    renderer = gl_renderer_name() if config.cameras else "none"
    finalize(out, env.action_contract, env.observation_contract, manifest(dataclasses.asdict(config) | {"out": str(out)}, config.seed, gl_renderer=renderer), robot_type=config.robot)
    env.close()
    result = {
        "out": str(out),
        "episodes": config.episodes,
        "failed": len(used) - config.episodes,
        "attempts": len(first),
        "yield": config.episodes / len(first),
        "causes": dict(collections.Counter(a.cause for a in first if not a.success)),
        "episodes_per_s": round((len(attempts) - old) * config.episodes / len(first) / max(seconds, 1e-9), 3),
        "content_hash": open_dataset(out).content_hash(),
    }
    write_json(out / CONFIG, {"key": key, "config": dataclasses.asdict(config) | {"out": str(out)}, "finished": result})
    return result


def _finished(out: Path, key: str, config: CollectConfig) -> dict[str, Any] | None:
    if not (out / CONFIG).exists():
        if out.exists() and any(out.iterdir()):
            raise ConfigError(f"{out} is not empty and was not made by `toyshift collect`; choose another --out")
        return None
    before = read_json(out / CONFIG)
    if before.get("key") != key:
        raise ConfigError(f"{out} holds a dataset of another configuration; choose another --out, or delete it")
    finished: dict[str, Any] | None = before.get("finished")
    if finished is not None and finished["episodes"] != config.episodes:
        raise ConfigError(f"{out} is finished with {finished['episodes']} episodes, {config.episodes} were asked for; choose another --out")
    if finished is not None:
        damaged = open_dataset(out).damaged_files()
        if damaged:
            raise FileError(f"{out} was finished, but {', '.join(damaged)} is damaged; delete {out} and collect again")
    return finished


def _load_ledger(out: Path) -> dict[int, Attempt]:
    """Reads the ledger; a last line cut short by a kill, and attempts whose episode is missing, are played again."""
    attempts: dict[int, Attempt] = {}
    if (out / LEDGER).exists():
        there = episode_indices(out)  # in files of their own, or already in the layout when the kill came at the very end
        for line in (out / LEDGER).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError, TypeError):  # torn, or of an older version
                found = Attempt(**json.loads(line))
                if not found.stored or found.index in there:
                    attempts[found.index] = found
        write_text(out / LEDGER, "".join(map(_line, attempts.values())))  # what is appended must not join a torn line
    return attempts


def _line(attempt: Attempt) -> str:
    return json.dumps(dataclasses.asdict(attempt)) + "\n"


def _complete(attempts: dict[int, Attempt], episodes: int) -> int:
    """Returns how many of the attempts 0, 1, 2, ... hold the first `episodes` successes; 0 while one is missing or in flight."""
    successes = 0
    for index in range(len(attempts)):
        if index not in attempts:
            return 0
        successes += attempts[index].success
        if successes == episodes:
            return index + 1
    return 0


def _attempts(config: CollectConfig, known: dict[int, Attempt]) -> Iterator[Attempt]:
    """Yields new attempts until the first `episodes` successes have no gap before them."""
    if config.workers == 0 and not config.ray:
        index = 0
        while not _complete(known, config.episodes):
            if index not in known:
                yield attempt(config, index)
            index += 1
        close_session()
        return
    _objects(config.objects)  # what must be built once is built before workers ask for it
    with _workers(config) as (submit, count, died):
        waiting: set[Future[Any]] = set()
        following = 0
        try:
            while not _complete(known, config.episodes):
                while len(waiting) < 2 * count:
                    if following not in known:
                        waiting.add(submit(following))
                    following += 1
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield _received(config, future.result())
            for future in waiting:
                future.cancel()
        except died as error:
            raise ToyShiftError(
                f"a worker process died while collecting {config.objects} (out of memory?); finished episodes are kept: run the same command again"
            ) from error


@contextlib.contextmanager
def _workers(config: CollectConfig) -> Iterator[tuple[Callable[[int], Future[Any]], int, type[Exception]]]:
    """Yields what begins an attempt elsewhere, how many run at once, and what a future raises when a worker has died."""
    if config.ray:
        with ray_pool(config.ray, config.workers) as cluster:
            yield lambda index: cluster.submit(play_far_away, config, index), cluster.workers, cluster.died
    else:
        with worker_pool(config.workers) as pool:
            yield lambda index: pool.submit(attempt, config, index), config.workers, BrokenProcessPool


def _received(config: CollectConfig, value: Attempt | tuple[Attempt, Encoded | None] | ToyShiftError) -> Attempt:
    """Returns the attempt that a worker has finished; writes its episode where the worker did not."""
    if isinstance(value, ToyShiftError):
        raise value
    if isinstance(value, Attempt):
        return value
    done, encoded = value
    if encoded is not None:
        write_encoded(config.out, encoded)
    return done
