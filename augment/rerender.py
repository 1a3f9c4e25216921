"""Renders a dataset again under other looks; exact, because frames keep their state. Actions stay as they are."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from toyshift.augment.augmentation import SeenAs
from toyshift.augment.seen import seen_of, unmoved
from toyshift.core import runs
from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import SIM_STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import json_hash, real_path
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, play
from toyshift.data.collecting.replay import begin_again, environment_of
from toyshift.data.episode import Episode, Frames, episode_indices, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.envs.render.renderer import gl_renderer_name
from toyshift.envs.shifts import Look
from toyshift.envs.tasks.grasp import GraspEnv

CONFIG = "augment.json"
Repaint = Callable[[GraspEnv], tuple[Indices, Array]]  # geoms (n,) and their colours (n, 4)


class NewLooks(Protocol):
    """Under which look each episode is seen."""

    @property
    def kind(self) -> str:
        """Name of the augmentation, and of the stream of random numbers that it draws from."""

    def settings(self) -> dict[str, Any]:
        """Returns what decides the looks, for the run's identity and its manifest."""

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        """Returns which of a dataset's cameras see something else; raises ConfigError where it lacks one."""

    def look(self, meta: Mapping[str, Any], rng: np.random.Generator) -> Look:
        """Returns the look of an episode of which the meta data are known."""


@dataclasses.dataclass(frozen=True)
class Rerendering:
    """What to render again, and how.

    Attributes:
        src: dataset folder; its frames must hold the simulator's state.
        dst: folder of the new dataset.
        looks: see `NewLooks`.
        seed: root seed of what looks draw.
        workers: processes; 0 works in this one.
        episodes: how many of the source's episodes, from the first; 0 takes all.
    """

    src: Path
    dst: Path
    looks: NewLooks
    seed: int = 0
    workers: int = 2
    episodes: int = 0

    def __post_init__(self) -> None:
        if real_path(self.src) == real_path(self.dst):
            raise ConfigError(f"source and destination are both {self.src}; choose another destination")


@contextlib.contextmanager
def _opened(src: Path) -> Iterator[tuple[Dataset, GraspEnv]]:
    """Yields a dataset and its environment, which a process keeps between episodes."""
    dataset = open_dataset(src)
    with contextlib.closing(environment_of(dataset)) as env:
        yield dataset, env


def _load(env: GraspEnv, episode: Episode, t: int) -> None:
    """Puts the simulation into frame t of an episode."""
    meta, state = episode.meta, episode.frames[SIM_STATE][t]
    env.load_sim_state(meta["object_id"], state, meta["model_hash"], meta.get("others"))


def render_again(
    env: GraspEnv, episode: Episode, cameras: Sequence[str], frames: Frames, repaint: Repaint | None = None,
    unmoved: Sequence[str] = (),
) -> None:
    """Writes what cameras see of every state of an episode, under the environment's present look, into frames.

    Args:
        env: of the episode; its shift has begun.
        episode: its states and objects count.
        cameras: names.
        frames: gets images, masks and camera poses; holds those that were recorded.
        repaint: gives geoms, and colours to paint them in instead; they are painted back afterwards.
        unmoved: cameras that should see what was recorded (`seen.unmoved`). Where the first frame is that to the bit,
            the recorded frames stay; else, as where another renderer drew them, they are rendered like the others.
    """
    stay: set[str] = set()
    geoms: Indices | None = None
    for t in range(len(frames[SIM_STATE])):
        if not (wanted := [camera for camera in cameras if camera not in stay]):
            break
        _load(env, episode, t)
        model = env.scene.model
        if repaint and geoms is None:
            geoms, paint = repaint(env)
            own = model.geom_rgba[geoms].copy()
        if geoms is not None:
            model.geom_rgba[geoms] = paint
        for camera in wanted:
            view = env.renderer().render(camera, env.config.image_sizes[camera])
            extrinsics, intrinsics = env.camera_pose(camera)
            drawn = {
                image_key(camera): view.image, mask_key(camera): view.mask,
                f"camera.{camera}.extrinsics": extrinsics, f"camera.{camera}.intrinsics": intrinsics,
            }
            if t == 0 and camera in unmoved and all(map(_equal, (frames[key][0] for key in drawn), drawn.values())):
                stay.add(camera)
                continue
            for key, value in drawn.items():
                frames[key][t] = value
    if geoms is not None:  # a scene with the same toys is not written again
        env.scene.model.geom_rgba[geoms] = own


def _equal(recorded: Any, drawn: Any) -> bool:
    """Says whether what was recorded is what would be written of something drawn."""
    return np.array_equal(recorded, np.asarray(drawn).astype(recorded.dtype))


def _rerender(config: Rerendering, cameras: Sequence[str], opened: tuple[Dataset, GraspEnv], index: int) -> None:
    """Writes episode `index` of the new dataset."""
    dataset, env = opened
    episode = dataset.episode(index)
    frames = {k: np.array(v) for k, v in episode.frames.items()}
    factors = episode.meta.get("factors", {})
    if factors.get("shift") or env.shifts.items:
        begin_again(env, episode.meta, index)
    env.look = config.looks.look(episode.meta, episode_rng(config.seed, index, config.looks.kind))
    same = unmoved(episode.meta, seen_of(episode.meta), SeenAs(env.look), cameras)
    render_again(env, episode, cameras, frames, unmoved=same)
    look = dataclasses.asdict(env.look)
    if "sub_dataset" in factors:
        factors = factors | {"sub_dataset": factors["sub_dataset"] | look}
    meta = episode.meta | {"factors": factors | {"look": look}, "source_episode": index}
    write_episode(config.dst, Episode(index, frames, meta))


def rerender(config: Rerendering) -> dict[str, Any]:
    """Renders every episode of `src` again and writes `dst`; resumable.

    Returns:
        out, episodes, frames, the looks' settings, content_hash.

    Raises:
        ContractError: the dataset keeps no simulator state, or was recorded with another model.
        ConfigError: dst holds something else, or the dataset lacks a camera.
    """
    src, dst, looks, marker = Path(config.src), Path(config.dst), config.looks, Path(config.dst) / CONFIG
    dataset = open_dataset(src)
    settings = looks.settings() | {"seed": config.seed, "kind": looks.kind, "episodes": config.episodes}
    settings["source"] = dataset.content_hash()
    key = json_hash(settings)
    finished: dict[str, Any] | None = runs.found(marker, key, "an augmentation", "toyshift augment", settings)
    if finished is not None:
        return finished
    try:
        cameras = tuple(looks.cameras(dataset.observation_contract.camera_names))
    except ConfigError as error:
        raise ConfigError(f"{src} {error}") from error
    if SIM_STATE not in dataset.columns:
        raise ContractError(f"{src} does not keep the simulator's state ({SIM_STATE}); it cannot be rendered again")
    with _opened(src) as (_, env):
        _load(env, dataset.episode(0, [SIM_STATE]), 0)  # what cannot be shown again is refused before dst is claimed
        env.renderer()
    runs.claim(marker, key, settings)
    count = min(config.episodes or dataset.num_episodes, dataset.num_episodes)
    todo = sorted(set(range(count)) - episode_indices(dst))
    show = functools.partial(_rerender, config, cameras)
    job = Job(key, functools.partial(_opened, src), show, f"rendering {src} again")
    with Progress(f"augment {looks.kind}", count, "episode", count - len(todo)) as bar:
        for _ in play(todo, job, config.workers):
            bar.update()
    facts = {"src": str(src), **looks.settings(), "source_hash": settings["source"]}
    made_by = manifest(facts, config.seed, gl_renderer=gl_renderer_name())
    finalize(dst, dataset.action_contract, dataset.observation_contract, made_by, robot_type=_robot(dataset))
    made = open_dataset(dst)
    sizes = {"episodes": made.num_episodes, "frames": made.num_frames}
    result = {"out": str(dst), **sizes, **looks.settings(), "content_hash": made.content_hash()}
    runs.finish(marker, result)
    return result


def _robot(dataset: Dataset) -> str:
    return str(dataset.info.get("robot_type", "panda"))
