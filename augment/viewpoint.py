"""Viewpoint augmentation: a dataset rendered again from sampled cameras; exact, because frames keep their state."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core import runs
from toyshift.core.arrays import Array, Image, Mask
from toyshift.core.contract import SIM_STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import json_hash, real_path
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, play
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
        if real_path(self.src) == real_path(self.dst):
            raise ConfigError(f"source and destination are both {self.src}; choose another destination")


@contextlib.contextmanager
def _opened(src: Path) -> Iterator[tuple[Dataset, GraspEnv]]:
    """Yields a dataset and its environment, which a process keeps between episodes."""
    dataset = open_dataset(src)
    with contextlib.closing(environment_of(dataset)) as env:
        yield dataset, env


def _show(env: GraspEnv, episode: Episode, state: Array) -> tuple[Image, Mask]:
    """Returns what the moved camera sees, image and mask, in a state of an episode."""
    env.load_sim_state(episode.meta["object_id"], state, episode.meta["model_hash"], episode.meta.get("others"))
    view = env.renderer().render(CAMERA, env.config.image_sizes[CAMERA])
    return view.image, np.asarray(view.mask)


def _rerender(config: ViewpointConfig, opened: tuple[Dataset, GraspEnv], index: int) -> None:
    """Writes episode `index` of the new dataset."""
    dataset, env = opened
    episode = dataset.episode(index)
    low, high = config.azimuth
    azimuth = float(low + (high - low) * episode_rng(config.seed, index, "viewpoint").random())
    frames = {k: np.array(v) for k, v in episode.frames.items()}
    factors = episode.meta.get("factors", {})
    if factors.get("shift") or env.shifts.items:
        begin_again(env, episode.meta, index)
    env.look = Look(azimuth=azimuth)
    for t, state in enumerate(frames[SIM_STATE]):
        image, mask = _show(env, episode, state)
        extrinsics, intrinsics = env.camera_pose(CAMERA)
        drawn = {
            image_key(CAMERA): image, mask_key(CAMERA): mask,
            f"camera.{CAMERA}.extrinsics": extrinsics, f"camera.{CAMERA}.intrinsics": intrinsics,
        }
        for key, value in drawn.items():
            frames[key][t] = value
    meta = episode.meta | {"factors": factors | {"look": dataclasses.asdict(env.look)}, "source_episode": index}
    write_episode(config.dst, Episode(index, frames, meta))


def augment_viewpoint(config: ViewpointConfig) -> dict[str, Any]:
    """Renders every episode of `src` again from a sampled front camera and writes `dst`; resumable.

    Returns:
        out, episodes, frames, azimuth, content_hash.

    Raises:
        ContractError: the dataset keeps no simulator state, or was recorded with another model.
        ConfigError: dst holds something else.
    """
    src, dst, marker = Path(config.src), Path(config.dst), Path(config.dst) / CONFIG
    dataset, azimuth = open_dataset(src), list(config.azimuth)
    cameras = dataset.observation_contract.camera_names
    settings = {"azimuth": azimuth, "seed": config.seed, "kind": "viewpoint", "episodes": config.episodes}
    settings["source"] = dataset.content_hash()
    key = json_hash(settings)
    finished: dict[str, Any] | None = runs.found(marker, key, "an augmentation", "toyshift augment", settings)
    if finished is not None:
        return finished
    if CAMERA not in cameras:
        raise ConfigError(f"{src} has no camera {CAMERA!r} to move; it has {', '.join(cameras)}")
    if SIM_STATE not in dataset.columns:
        raise ContractError(f"{src} does not keep the simulator's state ({SIM_STATE}); it cannot be rendered again")
    with _opened(src) as (_, env):
        episode = dataset.episode(0, [SIM_STATE])
        _show(env, episode, episode.frames[SIM_STATE][0])  # what cannot be shown again is refused before dst is claimed
    runs.claim(marker, key, settings)
    count = min(config.episodes or dataset.num_episodes, dataset.num_episodes)
    todo = sorted(set(range(count)) - episode_indices(dst))
    job = Job(key, functools.partial(_opened, src), functools.partial(_rerender, config), f"rendering {src} again")
    with Progress("augment viewpoint", count, "episode", count - len(todo)) as bar:
        for _ in play(todo, job, config.workers):
            bar.update()
    facts = {"src": str(src), "azimuth": azimuth, "source_hash": settings["source"]}
    made_by = manifest(facts, config.seed, gl_renderer=gl_renderer_name())
    robot = str(dataset.info.get("robot_type", "panda"))
    finalize(dst, dataset.action_contract, dataset.observation_contract, made_by, robot_type=robot)
    made = open_dataset(dst)
    sizes = {"episodes": made.num_episodes, "frames": made.num_frames}
    result = {"out": str(dst), **sizes, "azimuth": azimuth, "content_hash": made.content_hash()}
    runs.finish(marker, result)
    return result
