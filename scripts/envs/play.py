"""Plays an environment: by hand in MuJoCo's viewer, or, where there is no display, as a video of the expert.

toyshift envs play                                         keyboard control; without a display it writes play.mp4
toyshift envs play --out play.mp4 --actor random --shift "camera-azimuth=3"
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Collection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, cast

from toyshift.core.choices import Environment, Quality, RobotName
from toyshift.core.errors import ConfigError, GraspError
from toyshift.core.graphics import gl_backend
from toyshift.core.progress import track
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.core.arrays import Float32
    from toyshift.core.contract import ActionContract
    from toyshift.envs.tasks.grasp import GraspEnv

STEP, TURN = 0.02, 0.15  # what one key press moves [m] and turns [rad]
GRIPPER, AGAIN = 32, 257  # GLFW's codes of space and enter
# GLFW's code -> entry of an eef_delta action and its sign. MuJoCo's viewer has a use of its own for every letter.
MOVES: dict[int, tuple[str, int]] = {
    265: ("dx", -1), 264: ("dx", 1), 263: ("dy", -1), 262: ("dy", 1), 266: ("dz", 1), 267: ("dz", -1),
    268: ("rz", 1), 269: ("rz", -1), 260: ("ry", 1), 261: ("ry", -1),
}  # fmt: skip
NUMPAD = {328: 265, 322: 264, 324: 263, 326: 262, 329: 266, 323: 267, 327: 268, 321: 269, 325: GRIPPER, 335: AGAIN}
HELP = """You face the robot. Keys (of the numeric pad: 8 2 4 6, 9 3, 7 1, 5):
  arrows              the hand away from you, towards you, left, right
  page up, page down  up, down
  home, end           turn about the vertical
  insert, delete      tilt
  space               open or close the gripper
  enter               another object
Drag with the mouse to look around; close the window to end."""
HOLD = 10  # how often a video repeats an episode's last picture


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, episodes=1, size=(64, 512)):
    """Options of `toyshift envs play`."""

    env: Environment = "toyshift/Grasp-v0"
    """Registered id of the environment."""
    objects: str = ""
    """Object set; the environment's own if none is given."""
    robot: RobotName | None = None
    """Robot; the environment's own if none is given."""
    shift: str = ""
    """Shifts, e.g. "camera-azimuth=3,object-mass=2"."""
    out: Path | None = None
    """Write a video here instead of opening the viewer; without a display, play.mp4."""
    actor: Literal["oracle", "random"] = "oracle"
    """Who acts in the video: the scripted expert, or uniformly random actions."""
    episodes: int = 3
    """Episodes in the video."""
    size: int = 400
    """Height and width of the video [pixels]."""
    quality: Quality = "high"
    """How the video is drawn: high has shadows and the robot's full meshes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2:
            raise ConfigError(f"--size must be even, got {self.size}")
        if self.out is not None and self.out.suffix != ".mp4":
            raise ConfigError(f"--out must end in .mp4, got {self.out}")


def main(cfg: Config) -> dict[str, Any]:
    """Opens MuJoCo's viewer with keyboard control, or writes a video of the scripted expert or a random policy.

    Example: toyshift envs play --out play.mp4 --objects ycb-like
    """
    import gymnasium as gym

    from toyshift.envs.render.window import Viewer, has_display

    by_hand = cfg.out is None and has_display()
    if not by_hand:
        gl_backend()  # a clear error before anything is built
    given = {name: value for name in ("objects", "robot", "shift") if (value := getattr(cfg, name))}
    try:
        given["quality"] = "fast" if by_hand else cfg.quality
        made = gym.make(cfg.env, cameras=(), action_mode="eef_delta", **given)
    except gym.error.Error as error:
        raise ConfigError(f"--env {cfg.env}: {error}") from error
    env = cast("GraspEnv", made.unwrapped)
    limit = (made.spec.max_episode_steps if made.spec else None) or 100
    try:
        if by_hand:
            keys: SimpleQueue[int] = SimpleQueue()
            print(HELP)
            return {"episodes": play_by_hand(env, Viewer(keys.put), keys, cfg.seed)}
        path = cfg.out or Path("play.mp4")
        episodes = write_video(env, path, cfg, limit)
    finally:
        made.close()
    print(f"{sum(e['success'] for e in episodes)} of {len(episodes)} episodes succeeded: {path}")
    return {"out": path, "env": cfg.env, "actor": cfg.actor, "episodes": episodes}


# ---------------------------------------------------------------- by hand


def action_of(keys: Collection[int], opening: float, contract: ActionContract) -> Float32:
    """Returns the eef_delta action (A,) of the keys that were pressed; several at once add up, others do nothing.

    Args:
        keys: GLFW's codes.
        opening: commanded gripper opening, which stays unless its key is among them; 1 open, 0 closed.
        contract: of an environment in mode eef_delta.
    """
    import numpy as np

    action = np.zeros(contract.size, np.float32)
    pressed = {NUMPAD.get(key, key) for key in keys}
    for key in pressed & MOVES.keys():
        name, sign = MOVES[key]
        entry = contract.names.index(name)
        action[entry] += sign * (STEP if contract.units[entry] == "m" else TURN)
    action[-1] = round(1 - opening) if GRIPPER in pressed else opening
    return action


def play_by_hand(
    env: GraspEnv, viewer: Any, keys: SimpleQueue[int], seed: int, sleep: Callable[[float], None] = time.sleep
) -> list[dict[str, Any]]:
    """Plays at the control rate until the window is closed; returns what became of the episodes.

    Args:
        env: a grasp environment.
        viewer: has `show(scene)`, `open` and `close()`.
        keys: codes of the keys as they are pressed.
        seed: root seed.
        sleep: waits [s].
    """
    period = 1.0 / env.config.control_hz
    outcomes: list[dict[str, Any]] = []
    _, info = env.reset(seed=seed)
    opening, steps = 1.0, 0
    print(info["task"])
    viewer.show(env.scene)
    try:
        while viewer.open:
            due = time.monotonic() + period
            pressed = [keys.get() for _ in range(keys.qsize())]
            action = action_of(pressed, opening, env.action_contract)
            opening, steps = float(action[-1]), steps + 1
            _, terminated, info = env.advance(action)
            viewer.show(env.scene)
            if terminated or {NUMPAD.get(key, key) for key in pressed} & {AGAIN}:
                outcomes.append(outcome(info, steps))
                print("lifted" if info["is_success"] else "not lifted")
                _, info = env.reset()
                opening, steps = 1.0, 0
                print(info["task"])
                viewer.show(env.scene)
            sleep(max(0.0, due - time.monotonic()))
    finally:
        viewer.close()
    return [*outcomes, outcome(info, steps)]


def outcome(info: dict[str, Any], steps: int) -> dict[str, Any]:
    """Returns what an episode's last info says."""
    said = {"episode": "episode", "object": "object_id", "task": "task", "success": "is_success"}
    return {name: info[key] for name, key in said.items()} | {"steps": steps}


# ---------------------------------------------------------------- as a video


def write_video(env: GraspEnv, path: Path, cfg: Config, limit: int) -> list[dict[str, Any]]:
    """Plays episodes and writes one video of them, from the side; returns what became of them.

    Args:
        env: a grasp environment.
        path: the MP4 file.
        cfg: actor, seed, number of episodes and size of the video.
        limit: time limit of an episode [control steps].
    """
    from toyshift.data.grasping.choose import make_expert
    from toyshift.diagnostics.actors import OracleActor, RandomActor
    from toyshift.diagnostics.video import write_mp4

    actor: Any = OracleActor(make_expert(env)) if cfg.actor == "oracle" else RandomActor()
    outcomes, frames = [], []
    for episode in track(range(cfg.episodes), "episodes"):
        _, info = env.reset(seed=cfg.seed, options={"episode": episode})
        frames.append(env.picture(cfg.size, "film"))
        steps, done = 0, False
        with contextlib.suppress(GraspError):  # where the expert gives up, the episode ends
            actor.reset(env, cfg.seed, episode)
            while not done and steps < limit:
                for action in actor.actions(env):
                    _, done, info = env.advance(action)
                    frames.append(env.picture(cfg.size, "film"))
                    steps += 1
        frames += frames[-1:] * HOLD
        outcomes.append(outcome(info, steps))
    write_mp4(path, frames, env.config.control_hz)
    return outcomes
