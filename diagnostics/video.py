"""Rollout films: episodes of a finished evaluation played again, drawn at high quality, written as MP4 for browsers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Image
from toyshift.core.errors import ConfigError
from toyshift.core.files import atomic_path
from toyshift.core.world import World
from toyshift.diagnostics.actors import Actor, open_actor
from toyshift.diagnostics.evaluation import EvaluateConfig, begin_episode, run_episode
from toyshift.diagnostics.rows import Row

SHOW = {"quality": "high", "cameras": ("front",)}


@dataclasses.dataclass(frozen=True)
class Rollout:
    """A recorded episode.

    Attributes:
        path: the MP4 file.
        success: the outcome of the recorded play.
        object_id: its object.
        episode: its index.
        failure: failure kind of the row it repeats.
    """

    path: Path
    success: bool
    object_id: str
    episode: int
    failure: str


def write_mp4(path: Path, frames: Iterable[Image], fps: float = 10.0, quality: int = 26) -> Path:
    """Writes an H.264 (yuv420p, moov atom first) MP4 atomically.

    Args:
        path: target; must end in .mp4.
        frames: (H, W, 3) uint8 sRGB images of one size; an odd last row or column is cut off.
        fps: frames per second.
        quality: x264's constant rate factor; smaller is better and larger in bytes.

    Raises:
        ConfigError: there is no frame, or the sizes differ.
    """
    import av

    size: tuple[int, int] | None = None
    with contextlib.ExitStack() as stack:  # the container closes, and so is whole, before the file gets its name
        temporary = stack.enter_context(atomic_path(Path(path)))
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=round(fps), options={"crf": str(quality), "preset": "medium"})
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
                if size is None:
                    size = (even.shape[0], even.shape[1])
                    stream.height, stream.width = size
                if even.shape[:2] != size:
                    told = f"{path}: a frame of {even.shape[:2]} pixels after one of {size}"
                    raise ConfigError(f"{told}; a video has one size")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
            if size is None:
                raise ConfigError(f"{path}: a video needs at least one frame")
            container.mux(stream.encode(None))
    return Path(path)


def choose(rows: Sequence[Row], successes: int, failures: int) -> list[Row]:
    """Returns the first successes and failures with distinct objects where possible, in order of episode."""
    chosen: list[Row] = []
    for wanted, count in ((True, successes), (False, failures)):
        group = sorted((r for r in rows if r.success == wanted), key=lambda r: (r.object_trial, r.episode))
        first = {r.object_id: r for r in reversed(group)}
        chosen += sorted(group, key=lambda r: first[r.object_id] is not r)[:count]
    return chosen


def record_rollouts(
    config: EvaluateConfig, rows: Sequence[Row], folder: Path, successes: int = 2, failures: int = 2, size: int = 320,
    camera: str = "front", show: Mapping[str, Any] | None = None, hold_frames: int = 6,
) -> list[Rollout]:
    """Plays chosen episodes again and writes one MP4 each into `folder`; files that exist already are kept.

    The policy acts on its own fast observations; a second environment, into which each simulator state is loaded,
    draws the pictures. So a video shows the very episode of its row.

    Args:
        config: of the evaluation that made the rows.
        rows: its rows.
        folder: where videos go, named <set>-<episode>-<object>.mp4.
        successes: how many successes to record.
        failures: how many failures.
        size: height and width of a film [pixels].
        camera: camera to film with, one that the environment's `picture` knows.
        show: environment arguments for drawing; None takes high quality. Its `picture(size, camera)` is drawn.
        hold_frames: the last picture is repeated so often, so that a loop can be read.
    """
    out: list[Rollout] = []
    for row in choose(rows, successes, failures):
        text = f"{row.policy}-{row.object_set}-{row.episode:05d}-{row.object_id}"
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in text)
        path = Path(folder) / f"{name[:150]}.mp4"
        out.append(Rollout(path, row.success, row.object_id, row.episode, row.failure))
    todo = [rollout for rollout in out if not rollout.path.exists()]
    if not todo:
        return out
    actor, env = open_actor(config.policy, config.objects, config.env, config.remote)
    screen = config.env.open(config.objects, **(SHOW if show is None else show))
    try:
        for rollout in todo:
            frames = _film(actor, env, screen, config, rollout, size, camera)
            write_mp4(rollout.path, frames + frames[-1:] * hold_frames, env.action_contract.control_hz)
    finally:
        env.close()
        screen.close()
    return out


def _film(
    actor: Actor, env: World, screen: World, config: EvaluateConfig, rollout: Rollout, size: int, camera: str
) -> list[Image]:
    """Plays one episode and returns its pictures, the first before any action."""
    film = ScreenFilm(env, screen, config, rollout.object_id, rollout.episode, size, camera)
    run_episode(actor, env, config, rollout.object_id, rollout.episode, film)
    return film.frames


class ScreenFilm:
    """Draws the state of one environment in another, whenever it is called.

    Args:
        env: that is played in.
        screen: that draws; it begins the same episode, for what lies around.
        config: of the evaluation.
        object_id, episode: what is played.
        size: height and width of a picture [pixels].
        camera: one that the environment's `picture` knows.

    Attributes:
        frames: the pictures (size, size, 3).
    """

    def __init__(
        self, env: World, screen: World, config: EvaluateConfig, object_id: str, episode: int, size: int, camera: str
    ) -> None:
        begin_episode(screen, config, object_id, episode)
        self._env, self._screen, self._object, self._size, self._camera = env, screen, object_id, size, camera
        self.frames: list[Image] = []

    def __call__(self) -> None:
        self._screen.load_sim_state(self._object, self._env.sim_state())
        self.frames.append(np.asarray(self._screen.picture(self._size, self._camera), dtype=np.uint8))
