"""Moves a robot by a bundle, or by a server that serves one.

toyshift robot run bundle --robot socket:127.0.0.1:8123 --masks robot    a dry run: nothing is sent
toyshift robot run ws://localhost:8000 --robot socket:127.0.0.1:8123 --execute --record runs/robot/episodes
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from toyshift.core.choices import Compensation
from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common
from toyshift.scripts.robot.lens_file import read_lenses

if TYPE_CHECKING:
    from toyshift.diagnostics.robot_record import Recorder
    from toyshift.policies.masks.provider import Prompt
    from toyshift.policies.robots.robot_driver import RobotDriver

ROBOT = "robot"  # --masks: those that the robot gives itself
PROMPTS = "--box-in CAMERA=TOP,LEFT,BOTTOM,RIGHT, or --click-in CAMERA=ROW,COLUMN"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    Common, seconds=(0.1, 86400), episodes=1, first=0, speed=(0.01, 1), acceleration=(0.01, 1), margin=(0, 1),
    force=(0.1, 1000), jump=(0.001, 10),
):  # fmt: skip
    """Options of `toyshift robot run`."""

    bundle: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="BUNDLE")]
    """Folder that `toyshift export` wrote, or ws://HOST:PORT of `toyshift serve --policy BUNDLE`."""
    robot: str
    """Driver and address: socket:HOST:PORT, franky:HOST, ros2:FILE.json or lerobot:FILE.json."""
    masks: str = ""
    """Who finds masks: a provider as for `toyshift evaluate` (detector, background:FOLDER, colour, box, track:FOLDER,
    module:name), a new one every episode, or robot for those that it gives itself."""
    box_in: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """CAMERA=TOP,LEFT,BOTTOM,RIGHT: where the target is in the camera's first image of an episode [pixels of the
    policy's images], for --masks colour, box or track; once per camera. Cameras left out have empty masks."""
    click_in: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Or CAMERA=ROW,COLUMN of a pixel of it."""
    cameras: str = ""
    """Cameras beside an arm whose driver has none: module:name, which returns a `policies.robots` Cameras."""
    lenses: Path | None = None
    """JSON file with the cameras' intrinsics: {"front": {"size": [480, 640], "intrinsics": [[...], [...], [...]]}}."""
    execute: bool = False
    """Send commands. Without it the robot is only read, and the journal says what would be sent."""
    instruction: str = ""
    """What the policy is told."""
    seconds: float = 20.0
    """Longest time of an episode [s]."""
    episodes: int = 1
    """How many episodes; between them a simulated robot gets its next object."""
    first: int = 0
    """Number of the first episode."""
    record: Path | None = None
    """Folder of a LeRobot v3 dataset, which the episodes are added to."""
    log: Path = Path("runs/robot/safety.jsonl")
    """Journal: a JSON line for every intervention. A stop is latched beside it."""
    release: bool = False
    """Release the stop of the run before."""
    alarm: Path | None = None
    """Alarm that `toyshift robot alarm` fitted to this bundle."""
    on_alarm: Literal["log", "hold", "stop"] = "hold"
    """What happens where it sounds."""
    compensation: Compensation = "skip"
    """Of the time that computing takes, as for `toyshift evaluate`."""
    speed: float = 0.8
    """Share of the joints' largest velocities."""
    acceleration: float = 0.8
    """Share of the joints' largest accelerations."""
    margin: float = 0.05
    """Of the joints from the ends of their ways [rad, slides m]."""
    jump: float = 0.5
    """Farthest that a joint may be asked to go in one step [rad, slides m]; more is held."""
    force: float = 30.0
    """Of the gripper [N]."""
    box: tuple[float, float, float, float, float, float] = (0.2, -0.5, 0.0, 0.85, 0.5, 0.75)
    """Lower and upper corner of the box in which hand and finger tips stay, base frame [m]."""


def main(cfg: Config) -> dict[str, Any]:
    """Moves a robot by a bundle, through the safety layer; a dry run unless --execute. See docs/robot.md.

    Example: toyshift robot run bundle --robot socket:127.0.0.1:8123 --masks robot --execute
    """
    from toyshift.policies.robots.control_loop import ControlLoop
    from toyshift.policies.runtime import Runtime
    from toyshift.policies.safety import Journal, SafetyLayer, SafetyLimits
    from toyshift.policies.safety.limits import require_agreement

    limits = SafetyLimits(
        cfg.box[:3], cfg.box[3:], cfg.margin, cfg.speed, cfg.acceleration, jump=cfg.jump, force=cfg.force
    )
    journal = Journal(cfg.log)
    if cfg.execute or cfg.release:  # a dry run may look at what was stopped
        journal.require_released(release=cfg.release)
    prompts = _prompts(cfg)
    policy, lenses, detector = _policy(cfg), read_lenses(cfg.lenses, "--lenses"), _detector(cfg.masks, prompts)
    _check_prompts(prompts, policy)
    with _ended_by_sigterm(), _opened(cfg) as robot:
        said = robot.limits if cfg.masks == ROBOT else dataclasses.replace(robot.limits, masks=())
        runtime = Runtime(
            policy, colours=said.colours, lenses=lenses, detector=detector, compensation=cfg.compensation
        )
        seen = {camera: size for camera, size in policy.observation_contract.cameras if camera in policy.cameras}
        require_agreement(
            policy.name, policy.action_contract, runtime.arm, seen, policy.needs_masks, said,
            detector=detector is not None, lenses=lenses,
        )  # fmt: skip
        safety = SafetyLayer(runtime.arm, policy.action_contract, limits, said, journal)
        recorder = _recorder(cfg, policy, runtime.arm.robot)
        loop = ControlLoop(
            runtime, safety, robot, policy, execute=cfg.execute, instruction=cfg.instruction, on_alarm=cfg.on_alarm,
            seen=None if recorder is None else recorder.add,
        )
        done: list[dict[str, Any]] = []
        with runtime, loop:
            for episode in range(cfg.first, cfg.first + cfg.episodes):
                robot.begin(episode)
                if detector is not None:
                    detector.reset()
                loop.begin()
                try:
                    loop.run(cfg.seconds, until=lambda: bool(robot.succeeded))
                except BaseException:  # Ctrl-C too: the loop has stopped the robot, and what it did until then is kept
                    if recorder is not None:
                        _finish(cfg, recorder, {"succeeded": None, "stopped": safety.stopped})
                    raise
                facts = {"episode": episode, "succeeded": robot.succeeded, "stopped": safety.stopped}
                if recorder is not None:
                    _finish(cfg, recorder, facts)
                done.append(facts)
                print(_said(facts), flush=True)
                if safety.stopped:
                    break
    tally = dataclasses.asdict(loop.tally)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(journal.counts.items())) or "none"
    dry = "" if cfg.execute else "dry run, nothing was sent: --execute sends. "
    told = f"{tally['steps']} steps, {tally['sent']} commands sent, {tally['held']} held"
    print(f"{dry}{told}; journal {cfg.log}: {counts}")
    files = {"log": cfg.log, "record": cfg.record}
    return {"ok": not safety.stopped, "episodes": done, "tally": tally, "journal": dict(journal.counts), **files}


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Has SIGTERM end the command as Ctrl-C does: the loop stops the robot on the way out."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _policy(cfg: Config) -> Any:
    """Opens the bundle, here or at its server, with its alarm."""
    from toyshift.policies.act.onnx_policy import OnnxPolicy
    from toyshift.policies.checkpoints import file_hash
    from toyshift.policies.remote.options import SOCKETS
    from toyshift.policies.safety.feature_alarm import Alarm, WatchedPolicy

    served, folder = cfg.bundle.startswith(SOCKETS), Path(cfg.bundle)
    opened: Any
    if served:  # imported here: a bundle acts with NumPy and onnxruntime alone
        from toyshift.policies.remote.served_bundle import ServedBundle

        opened = ServedBundle(cfg.bundle)
    else:
        opened = OnnxPolicy(folder, folder.resolve().name)
    alarm = None
    if cfg.alarm is not None:
        alarm = Alarm.load(cfg.alarm, "" if served else file_hash(folder / "policy.onnx"))
    return WatchedPolicy(opened, alarm)


def _opened(cfg: Config) -> RobotDriver:
    from toyshift.diagnostics.own import own_function
    from toyshift.policies.robots import open_robot
    from toyshift.policies.robots.with_cameras import WithCameras

    made = own_function(cfg.cameras, "--cameras", "leave it out where the driver has cameras") if cfg.cameras else None
    robot = open_robot(cfg.robot)
    return robot if made is None else WithCameras(robot, made())


class _Finder:
    """What finds masks in the policy's images: a new provider every episode, told where the target is.

    Args:
        make: makes a provider.
        prompts: camera -> where the target is in the first images.
    """

    def __init__(self, make: Callable[[], Any], prompts: Mapping[str, Prompt]) -> None:
        self._make, self._prompts = make, prompts
        self.reset()

    def reset(self) -> None:
        """Begins an episode."""
        self._provider = self._make()
        if self._prompts:
            self._provider.prompt(self._prompts)

    @property
    def prompted(self) -> bool:
        """Whether it must be told where the target is."""
        return bool(getattr(self._provider, "prompted", False))

    def __call__(self, pixels: Mapping[str, Any]) -> dict[str, Any]:
        import numpy as np

        return {camera: np.asarray(mask, dtype=np.uint8) for camera, mask in self._provider.masks(pixels).items()}


def _detector(text: str, prompts: Mapping[str, Prompt]) -> _Finder | None:
    """Returns what finds masks in images; None where nobody does, or the robot gives them."""
    from toyshift.diagnostics.mask_sources import NOISY, TRUTH, provider_of

    if text.partition(":")[0] in (TRUTH, NOISY):
        raise ConfigError(f"--masks {text} needs the simulator; on a robot: a provider, module:name, or {ROBOT}")
    if text in ("", ROBOT):
        if prompts:
            raise ConfigError(f"--masks {text or 'of nobody'} is not told where the target is: leave out {PROMPTS}")
        return None
    make = provider_of(text)
    if prompts and not hasattr(make(), "prompt"):
        raise ConfigError(f"--masks {text} is not told where the target is: leave out {PROMPTS}")
    finder = _Finder(make, prompts)
    if finder.prompted and not prompts:
        raise ConfigError(f"--masks {text} must be told where the target is in the first images: {PROMPTS}")
    return finder


def _prompts(cfg: Config) -> dict[str, Prompt]:
    """Returns where the target is, by camera."""
    from toyshift.policies.masks.provider import Prompt

    found: dict[str, Prompt] = {}
    for option, values, count in (("--box-in", cfg.box_in, 4), ("--click-in", cfg.click_in, 2)):
        for value in values:
            camera, _, numbers = value.partition("=")
            pixels = numbers.split(",")
            if not camera or len(pixels) != count or not all(pixel.strip().isdecimal() for pixel in pixels):
                example = "front=40,30,62,55" if count == 4 else "front=50,42"
                raise ConfigError(f"{option} is {value!r}; write CAMERA={','.join('N' * count)}, such as {example}")
            if camera in found:
                raise ConfigError(f"the target of camera {camera} is told twice; give one box or one click")
            place: Any = tuple(map(int, pixels))
            found[camera] = Prompt(box=place) if count == 4 else Prompt(click=place)
    return found


def _check_prompts(prompts: Mapping[str, Prompt], policy: Any) -> None:
    """Refuses prompts of cameras that the policy does not see, or outside their images, before anything moves."""
    from toyshift.core.errors import UnknownNameError

    sizes = dict(policy.observation_contract.cameras)
    for camera, prompt in prompts.items():
        if camera not in policy.cameras:
            raise UnknownNameError(f"camera of {policy.name}", camera, policy.cameras)
        prompt.check(camera, sizes[camera])


def _recorder(cfg: Config, policy: Any, robot: str) -> Recorder | None:
    if cfg.record is None:
        return None
    from toyshift.core.manifest import manifest
    from toyshift.diagnostics.robot_record import Recorder

    facts = {key: str(value) for key, value in dataclasses.asdict(cfg).items()}
    contracts = policy.action_contract, policy.observation_contract
    return Recorder(cfg.record, *contracts, policy.cameras, robot, manifest(facts, cfg.seed))


def _finish(cfg: Config, recorder: Recorder, facts: dict[str, Any]) -> None:
    """Adds the episode to the dataset."""
    task = cfg.instruction or "grasp the object"
    known = {} if facts["succeeded"] is None else {"success": facts["succeeded"]}
    meta = {"policy": cfg.bundle, "robot": cfg.robot, "executed": cfg.execute, "object_id": "", "seed": cfg.seed}
    facts["recorded"] = recorder.finish(task, **meta, stopped=facts["stopped"], **known)


def _said(facts: dict[str, Any]) -> str:
    ends = {None: "over", True: "succeeded", False: "not done"}
    stopped = f", stopped: {facts['stopped']}" if facts["stopped"] else ""
    return f"episode {facts['episode']}: {ends[facts['succeeded']]}{stopped}"
