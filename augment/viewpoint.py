"""Viewpoint augmentation: a dataset rendered again from sampled cameras, actions untouched (exact, because frames keep their state)."""

from __future__ import annotations

import dataclasses
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.contract import SIM_STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError, FileError, ToyShiftError
from toyshift.core.files import json_hash, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import worker_pool
from toyshift.data.collecting.replay import begin_again, environment_of
from toyshift.data.episode import Episode, episode_indices, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.render.renderer import gl_renderer_name
from toyshift.envs.shifts import Look
from toyshift.envs.tasks.grasp import GraspEnv

CONFIG = "augment.json"
CAMERA = "front"  # the camera that is moved; the wrist camera stays on the wrist


@dataclasses.dataclass(frozen=True)
class ViewpointConfig:
    """What to render again, and from where.

    Attributes:
        src: dataset folder; its frames must hold the simulator's state.
        dst: folder of the new dataset.
        azimuth: lowest and highest turn of the front camera about the table's vertical [deg]; uniform, one per episode.
        seed: root seed of the sampled cameras.
        workers: processes; 0 works in this one.
        episodes: how many of the source's episodes, from the first; 0 takes all.
    """

    src: Path
    dst: Path
    azimuth: tuple[float, float]
    seed: int = 0
    workers: int = 2
    episodes: int = 0

    def __post_init__(self) -> None:
        low, high = self.azimuth
        if not -180.0 <= low <= high <= 180.0:
            raise ConfigError(f"azimuth is {low} to {high} degrees; it must be a range within -180 to 180")
        if Path(self.src).resolve() == Path(self.dst).resolve():
            raise ConfigError(f"source and destination are both {self.src}; choose another destination")


_session: dict[str, tuple[Dataset, GraspEnv]] = {}  # one environment per worker process and dataset


def _open(src: Path) -> tuple[Dataset, GraspEnv]:
    key = str(src)
    if key not in _session:
        dataset = open_dataset(src)
        _session[key] = dataset, environment_of(dataset)
    return _session[key]


def _rerender(config: ViewpointConfig, index: int) -> int:
    """Writes episode `index` of the new dataset."""
    dataset, env = _open(config.src)
    episode = dataset.episode(index)
    if SIM_STATE not in episode.frames:
        raise ContractError(f"{config.src} does not keep the simulator's state ({SIM_STATE}); it cannot be rendered again")
    low, high = config.azimuth
    azimuth = float(low + (high - low) * episode_rng(config.seed, index, "viewpoint").random())
    frames = {k: np.array(v) for k, v in episode.frames.items()}
    if episode.meta.get("factors", {}).get("shift") or env.shifts.items:
        begin_again(env, episode.meta, index)
    env.look = Look(azimuth=azimuth)
    for t, state in enumerate(frames[SIM_STATE]):
        env.load_sim_state(episode.meta["object_id"], state, episode.meta["model_hash"], episode.meta.get("others"))
        image, mask, _ = env.renderer().render(CAMERA, env.config.image_sizes[CAMERA])
        frames[image_key(CAMERA)][t], frames[mask_key(CAMERA)][t] = image, mask
        extrinsics, intrinsics = env.camera_pose(CAMERA)
        frames[f"camera.{CAMERA}.extrinsics"][t], frames[f"camera.{CAMERA}.intrinsics"][t] = extrinsics, intrinsics
    factors = dict(episode.meta.get("factors", {})) | {"look": dataclasses.asdict(env.look)}
    write_episode(config.dst, Episode(index, frames, episode.meta | {"factors": factors, "source_episode": index}))
    return index


def augment_viewpoint(config: ViewpointConfig) -> dict[str, Any]:
    """Renders every episode of `src` again from a sampled front camera and writes `dst`; resumable.

    Returns:
        out, episodes, frames, azimuth, content_hash.

    Raises:
        ContractError: the dataset keeps no simulator state, or was recorded with another model.
        ConfigError: dst holds something else.
    """
    src, dst = Path(config.src), Path(config.dst)
    dataset = open_dataset(src)
    if CAMERA not in dataset.observation_contract.camera_names:
        raise ConfigError(f"{src} has no camera {CAMERA!r} to move; it has {', '.join(dataset.observation_contract.camera_names)}")
    key = json_hash({"source": dataset.content_hash(), "azimuth": list(config.azimuth), "seed": config.seed, "kind": "viewpoint", "episodes": config.episodes})
    finished = _finished(dst, key)
    if finished is not None:
        return finished
    dst.mkdir(parents=True, exist_ok=True)
    write_json(dst / CONFIG, {"key": key, "finished": None})
    count = min(config.episodes or dataset.num_episodes, dataset.num_episodes)
    todo = sorted(set(range(count)) - episode_indices(dst))
    with Progress("augment viewpoint", count, "episode", count - len(todo)) as bar:
        if config.workers == 0:
            for index in todo:
                _rerender(config, index)
                bar.update()
            for _, env in _session.values():
                env.close()
            _session.clear()
        else:
            with worker_pool(config.workers) as pool:
                try:
                    for future in as_completed([pool.submit(_rerender, config, index) for index in todo]):
                        future.result()
                        bar.update()
                except BrokenProcessPool as error:
                    raise ToyShiftError("a worker process died while rendering (out of memory?); finished episodes are kept: run the same command again") from error
    facts = manifest({"src": str(src), "azimuth": list(config.azimuth), "source_hash": dataset.content_hash()}, config.seed, gl_renderer=gl_renderer_name())
    finalize(dst, dataset.action_contract, dataset.observation_contract, facts, robot_type=str(dataset.info.get("robot_type", "panda")))
    made = open_dataset(dst)
    result = {"out": str(dst), "episodes": made.num_episodes, "frames": made.num_frames, "azimuth": list(config.azimuth), "content_hash": made.content_hash()}
    write_json(dst / CONFIG, {"key": key, "finished": result})
    return result


def _finished(dst: Path, key: str) -> dict[str, Any] | None:
    if not (dst / CONFIG).exists():
        if dst.exists() and any(dst.iterdir()):
            raise ConfigError(f"{dst} is not empty and was not made by `toyshift augment`; choose another destination")
        return None
    try:
        before = read_json(dst / CONFIG)
    except FileError as error:
        raise FileError(f"{error} (or delete {dst})") from error
    if before.get("key") != key:
        raise ConfigError(f"{dst} holds another augmentation; choose another destination, or delete it")
    finished: dict[str, Any] | None = before.get("finished")
    return finished
