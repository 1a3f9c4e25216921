"""A bundle on a robot: its readings become the contract's observation, and the chunks that come back its actions.

    with Runtime(Path("bundle"), colours="bgr", lenses={"front": Lens.of(matrix, (480, 640)), ...}) as runtime:
        runtime.reset("pick up the red toy")
        while True:  # at runtime.control_hz
            command = runtime.step(Readings(joints, width, images, joints_time, image_times))
            if command is not None:
                runtime.sent(robot.move(command.action))  # what was really sent, after the robot's safety layer

NumPy and onnxruntime only; nothing here knows a simulator.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np

from toyshift.core.arrays import Array, Float32, Image, Mask
from toyshift.core.choices import Compensation
from toyshift.core.contract import TASK, ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.proprioception import HAND
from toyshift.policies.act.onnx_policy import OnnxPolicy
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.chunk_buffer import ChunkBuffer
from toyshift.policies.runtime.framing import Frame, Lens, frame_of
from toyshift.policies.runtime.turns import rotvec_to_matrix

Colours = Literal["rgb", "bgr"]
Detector = Callable[[Mapping[str, Image]], Mapping[str, Mask]]
MOST_AGE = 2.0  # control steps that a reading may be old
WIDER = 0.1  # share of its opening by which a gripper may read wider, or narrower than shut
RATE_STEPS, RATE_OFF = 10, 1.25  # steps of which the median counts, and the factor by which it may be off
REMEMBERED = 100  # inferences, for the latency


@dataclasses.dataclass(frozen=True, eq=False)
class Readings:
    """What a robot says at one moment.

    Attributes:
        joints: measured positions (n,), in the contract's order [rad or m].
        gripper_width: measured distance between the fingers [m].
        images: camera -> (H, W, 3) uint8, of any size.
        time: when the joints were read [s], by the runtime's clock.
        image_times: camera -> when its image was taken [s], by the same clock.
        masks: camera -> (H, W) uint8 labels of the image's size, for policies that need them and have no detector.
    """

    joints: Array
    gripper_width: float
    images: Mapping[str, Image]
    time: float
    image_times: Mapping[str, float]
    masks: Mapping[str, Mask] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class RobotCommand:
    """What to send to the robot.

    Attributes:
        action: (A,) physical, inside the action contract's bounds.
        held: whether it keeps the robot where it is, because the next chunk is late.
    """

    action: Float32
    held: bool


class BundlePolicy(Protocol):
    """What the runtime needs of a policy: a bundle that was opened, here or at a server.

    Attributes:
        name: in messages.
        contract: what contract.json says, of "arm", "cameras" and "policy" at least.
        action_contract, observation_contract: what actions mean, and what it must be shown.
        execute: actions of a chunk to execute before the next is asked for.
        cameras: those that it looks at.
    """

    name: str
    contract: dict[str, Any]
    action_contract: ActionContract
    observation_contract: ObservationContract
    execute: int
    cameras: tuple[str, ...]

    @property
    def needs_masks(self) -> bool:
        """Whether it looks at masks."""
        ...

    def reset(self) -> None: ...

    def act(self, obs: Mapping[str, Any]) -> Float32: ...


class Runtime:
    """Acts from a bundle on a robot; `step` once a control step, then `sent`.

    The next chunk is computed in a thread while the robot goes on with the last; `ChunkBuffer` joins the two.

    Args:
        bundle: folder of format 2, exported with an arm; or one that was opened, such as a `ServedBundle`.
        colours: of the robot's images; there is no default, as nothing else can tell.
        lenses: camera -> how the robot's camera images; the part is cut out that the training's camera saw. Without one
            an image must have the training's shape and is taken whole.
        clock: seconds; never goes back.
        detector: makes the contract's images (camera -> (H, W, 3) RGB) to masks, in the place of `Readings.masks`.
        compensation: of the time that a chunk takes, see `ChunkBuffer`.
        most_age: how old a reading may be [s]; by default two control steps.
        threads: of onnxruntime.
        executor: where chunks are computed, one at a time; by default a thread of its own.

    Attributes:
        control_hz: control steps per second.

    Raises:
        FileError: the bundle is damaged.
        ConfigError: the bundle does not tell what acting on a robot needs.
    """

    def __init__(
        self, bundle: str | Path | BundlePolicy, *, colours: Colours, lenses: Mapping[str, Lens] | None = None,
        clock: Callable[[], float] = time.monotonic, detector: Detector | None = None,
        compensation: Compensation = "skip", most_age: float | None = None, threads: int = 1,
        executor: Executor | None = None,
    ) -> None:
        if colours not in ("rgb", "bgr"):
            raise ConfigError(f"colours is {colours!r}; say whether the robot's images are rgb or bgr")
        self.policy: BundlePolicy = _opened(bundle, threads) if isinstance(bundle, str | Path) else bundle
        self.contract, action, folder = self.policy.contract, self.policy.action_contract, self.policy.name
        if not self.contract.get("arm"):
            raise ConfigError(f"{folder} tells no arm; export it again with --robot NAME, or --data DIR")
        if self.contract["policy"].get("privileged"):
            raise ConfigError(f"{folder} sees the target's pose, which a robot's readings do not tell")
        self.arm, self.control_hz = ArmChain.from_json(self.contract["arm"]), action.control_hz
        known = {*action.joint_names, *(name for part in HAND for name in part.names)}
        if unknown := [name for name in self.policy.observation_contract.state_names if name not in known]:
            raise ConfigError(f"{folder} sees {', '.join(unknown)}, which a robot's readings do not tell")
        self._colours, self._lenses, self._clock, self._detector = colours, dict(lenses or {}), clock, detector
        self._most_age = MOST_AGE / self.control_hz if most_age is None else most_age
        self._own = ThreadPoolExecutor(1, "toyshift-chunk") if executor is None else None
        self._executor: Executor = self._own or executor  # type: ignore[assignment]
        self._frames: dict[tuple[str, tuple[int, ...]], Frame] = {}
        self._buffer = ChunkBuffer(action, self.policy.execute, compensation)
        self._coming: Future[tuple[Float32, float]] | None = None
        self._seconds: collections.deque[float] = collections.deque(maxlen=REMEMBERED)
        self.reset()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the chunk that is being computed, and ends the thread."""
        if self._own is not None:
            self._own.shutdown()

    def reset(self, instruction: str = "") -> None:
        """Begins an episode: nothing is known of what was commanded, and the policy forgets."""
        if self._coming is not None and not self._coming.cancel():
            self._coming.exception()  # waits: the policy must not be asked by two at once
        self._coming = None
        self._instruction = instruction
        self._buffer.reset()
        self.policy.reset()
        self._now = -np.inf
        self._used: dict[str, float] = {}  # stamps of what the latest observation was made of
        self._found: tuple[dict[str, float], dict[str, Mask]] = ({}, {})  # stamps, and the detector's masks of them
        self._command: _Commanded | None = None
        self._pending: RobotCommand | None = None
        self._first = True
        self._stepped: float | None = None  # time of the last step that commanded something
        self._intervals: collections.deque[float] = collections.deque(maxlen=RATE_STEPS)

    @property
    def latency(self) -> float:
        """Median time from an observation to its chunk [s], without each episode's first; nan before there is one."""
        return statistics.median(self._seconds) if self._seconds else float("nan")

    @property
    def pending(self) -> bool:
        """Whether there is a command of which `sent` is to be told."""
        return self._pending is not None

    # ---------------------------------------------------------------- one control step

    def step(self, readings: Readings) -> RobotCommand | None:
        """Returns what to send now; None until the first chunk is there: the robot stands still.

        Raises:
            ContractError: a reading is missing, of another shape, stale, or none that this arm can give; the clock or
                a stamp went back; steps come at another rate; or `sent` was not called for the last command.
        """
        if self._pending is not None:
            raise ContractError("call sent() with what the robot was given, before the next step")
        now = float(self._clock())
        if not now >= self._now:
            raise ContractError(f"the clock went back, from {self._now:.3f} to {now:.3f} s")
        self._now = now
        self._in_time(now)
        joints = self._joints(readings, now)
        opening = self._opening(readings.gripper_width)
        self._command = self._command or _Commanded.at(self.arm, joints, opening)
        self._take()
        if self._buffer.wants:
            observation = self._observation(readings, joints, opening, now)
            self._buffer.asked()
            self._coming = self._executor.submit(self._infer, observation, now)
            self._take()
        action = self._buffer.action()
        held = action is None
        action = self._buffer.hold() if action is None else action
        self._pending = None if action is None else RobotCommand(action, held)
        self._stepped = None if action is None else now
        return self._pending

    def _in_time(self, now: float) -> None:
        """Refuses steps that come at another rate than the contract's, once there are enough of them."""
        if self._stepped is not None:
            self._intervals.append(now - self._stepped)
            self._stepped = now  # also where this step is refused: steps that come on time again are taken again
        if len(self._intervals) < RATE_STEPS:
            return
        usual, wanted = statistics.median(self._intervals), 1.0 / self.control_hz
        if not 1 / RATE_OFF <= usual / wanted <= RATE_OFF:
            told = f"a step comes every {usual:.3f} s, the policy acts every {wanted:.3f} s ({self.control_hz:g} Hz)"
            raise ContractError(f"{told}: the robot would move faster or slower than in training")

    def _take(self) -> None:
        """Takes the chunk that is being computed, if it is there."""
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        if coming.exception() is not None:
            self._buffer.failed()
        chunk, seconds = coming.result()
        if not self._first:
            self._seconds.append(seconds)
        self._first = False
        self._buffer.arrived(chunk)

    def sent(self, action: Float32 | None = None, joints: Array | None = None) -> None:
        """Notes what the robot was given, after whatever limited it; lags and the commanded opening follow from it.

        Args:
            action: (A,) as the contract has it; None where it is the command's, unchanged.
            joints: commanded positions (n,), where the robot's controller tells them: the commanded hand pose is then
                theirs. Without them deltas are added up, as if everything had been within reach.

        Raises:
            ContractError: there was no command, or the arrays are not finite or of another shape.
        """
        if self._pending is None or self._command is None:
            raise ContractError("nothing was commanded: call step() first")
        given = np.asarray(self._pending.action if action is None else action, dtype=np.float32)
        if given.shape != self._pending.action.shape or not np.isfinite(given).all():
            wanted = f"it must be finite {self._pending.action.shape}"
            raise ContractError(f"an action of shape {given.shape} was sent; {wanted}")
        if joints is not None:
            joints = np.asarray(joints, dtype=np.float64)
            if joints.shape != (len(self.arm.joints),) or not np.isfinite(joints).all():
                wanted = f"they must be finite ({len(self.arm.joints)},)"
                raise ContractError(f"commanded joints of shape {joints.shape}; {wanted}")
        self._command = self._command.after(given, self.policy.action_contract.mode, self.control_hz, joints)
        if not self._pending.held:
            self._buffer.sent(given)
        self._pending = None

    def shown(self, readings: Readings) -> dict[str, Any]:
        """Returns what the policy would be shown of readings that `step` was given, for who records them.

        Raises:
            ContractError: as `step`; before its first call, too.
        """
        if self._command is None:
            raise ContractError("nothing was read yet: call step() first")
        joints, opening = self._joints(readings, self._now), self._opening(readings.gripper_width)
        return self._seen(readings, joints, opening, self._now, recorded=True)[0]

    def _infer(self, observation: dict[str, Any], asked: float) -> tuple[Float32, float]:
        chunk = self.policy.act(observation)
        return chunk, float(self._clock()) - asked

    # ---------------------------------------------------------------- readings

    def _joints(self, readings: Readings, now: float) -> Array:
        joints = np.asarray(readings.joints, dtype=np.float64)
        if joints.shape != (len(self.arm.joints),) or not np.isfinite(joints).all():
            names = ", ".join(joint.name for joint in self.arm.joints)
            raise ContractError(f"joints have shape {joints.shape}; they must be finite numbers of: {names}")
        if outside := self.arm.outside(joints):
            raise ContractError(f"{outside}: are these radians, in the contract's order?")
        self._fresh("the joints", readings.time, now)
        return joints

    def _opening(self, width: float) -> float:
        opening = float(width) / self.arm.gripper_width
        if not -WIDER <= opening <= 1.0 + WIDER:
            limits = f"this gripper's goes from 0 to {self.arm.gripper_width:g}"
            raise ContractError(f"the gripper's width is {width:g} m, {limits}: is it in metres, and not an opening?")
        return opening

    def _fresh(self, what: str, stamp: float, now: float) -> None:
        if not now - self._most_age <= stamp <= now:
            told = f"{now - stamp:.3f} s old, at most {self._most_age:.3f}" if stamp <= now else "from the future"
            raise ContractError(f"{what} are {told}: their clock is another one, or they stand still")
        if stamp < self._used.get(what, -np.inf):
            raise ContractError(f"the stamp of {what} went back, from {self._used[what]:.3f} to {stamp:.3f} s")

    def _observation(self, readings: Readings, joints: Array, opening: float, now: float) -> dict[str, Any]:
        """Returns what the policy sees, and remembers its stamps; arguments as of `step`."""
        seen, self._used = self._seen(readings, joints, opening, now)
        return seen

    def _seen(
        self, readings: Readings, joints: Array, opening: float, now: float, recorded: bool = False
    ) -> tuple[dict[str, Any], dict[str, float]]:
        """Returns an observation and the stamps of what it is made of; what is `recorded` may stand still."""
        policy = self.policy
        pixels: dict[str, Image] = {}
        labels: dict[str, Mask] = {}
        used = {"the joints": readings.time}
        for camera in policy.cameras:
            what = f"images of camera {camera}"
            if camera not in readings.images or camera not in readings.image_times:
                there = ", ".join(sorted(readings.images)) or "none"
                raise ContractError(f"the policy needs {what}, with their time; there are: {there}")
            image, stamp = np.asarray(readings.images[camera]), float(readings.image_times[camera])
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise ContractError(f"{what} are {image.shape} {image.dtype}; they must be (H, W, 3) uint8")
            self._fresh(what, stamp, now)
            if stamp == self._used.get(what) and not recorded:
                raise ContractError(f"{what} stand still: the one of {stamp:.3f} s was seen before")
            used[what] = stamp
            frame = self._frame(camera, image.shape[:2])
            small = frame.image(image)  # first: the colours of a small image are turned round faster
            pixels[camera] = np.ascontiguousarray(small if self._colours == "rgb" else small[..., ::-1])
            if policy.needs_masks and self._detector is None:
                labels[camera] = self._mask(readings, camera, image.shape[:2], frame)
        if policy.needs_masks and self._detector is not None:
            if used != self._found[0]:  # who records asks for what the policy was just shown: one look, one search
                self._found = used, dict(self._detector(pixels))
            labels = self._found[1]
        seen: dict[str, Any] = {"pixels": pixels, "agent_pos": self._state(joints, opening), TASK: self._instruction}
        return seen | ({"masks": labels} if policy.needs_masks else {}), used

    def _mask(self, readings: Readings, camera: str, size: tuple[int, ...], frame: Frame) -> Mask:
        mask = np.asarray(readings.masks[camera]) if camera in readings.masks else None
        if mask is None or mask.shape != size or mask.dtype != np.uint8:
            got = "none" if mask is None else f"{mask.shape} {mask.dtype}"
            raise ContractError(f"the policy needs masks of camera {camera}, {size} uint8, or a detector; got {got}")
        return frame.mask(mask)

    def _frame(self, camera: str, size: tuple[int, ...]) -> Frame:
        if (camera, size) not in self._frames:
            facts = (self.contract.get("cameras") or {}).get(camera, {})
            target = dict(self.policy.observation_contract.cameras)[camera]
            training = Lens.of(facts["intrinsics"], target) if "intrinsics" in facts else None
            there = (int(size[0]), int(size[1]))
            self._frames[camera, size] = frame_of(camera, there, self._lenses.get(camera), training, target)
        return self._frames[camera, size]

    def _state(self, joints: Array, opening: float) -> Float32:
        """Returns the state (S,) in the contract's order."""
        assert self._command is not None  # made by `step`
        position, rotation = self.arm.forward(joints)
        read: dict[str, Any] = {
            "opening": [opening], "position": position, "rotation": rotation[:, :2].T.ravel(),
            "lag": self._command.position - position, "command": [self._command.opening],
        }  # fmt: skip
        values = dict(zip(self.policy.action_contract.joint_names, joints, strict=True))
        values |= {name: value for part in HAND for name, value in zip(part.names, read[part.read], strict=True)}
        return np.array([values[name] for name in self.policy.observation_contract.state_names], dtype=np.float32)


def _opened(folder: str | Path, threads: int) -> BundlePolicy:
    return OnnxPolicy(Path(folder), Path(folder).resolve().name, threads)


@dataclasses.dataclass(frozen=True, eq=False)
class _Commanded:
    """What the robot was told: hand pose in the base frame, joint positions where they are known, gripper's opening."""

    arm: ArmChain
    position: Array
    rotation: Array
    joints: Array
    opening: float

    @classmethod
    def at(cls, arm: ArmChain, joints: Array, opening: float) -> _Commanded:
        """Returns what a robot is told that stands at joint positions."""
        return cls(arm, *arm.forward(joints), joints, min(max(opening, 0.0), 1.0))

    def after(self, action: Float32, mode: str, control_hz: float, joints: Array | None) -> _Commanded:
        """Returns what it is told after an action; its last entry is the gripper's, which moves as fast as it can."""
        values, reach = np.asarray(action, dtype=np.float64), self.arm.gripper_speed / control_hz
        opening = min(max(float(values[-1]), self.opening - reach), self.opening + reach)
        if joints is None and mode == "joint_pos":
            joints = values[:-1]
        elif joints is None and mode == "joint_delta":
            low, high = ([getattr(joint, side) for joint in self.arm.joints] for side in ("low", "high"))
            joints = np.clip(self.joints + values[:-1], low, high)
        if joints is not None:
            return _Commanded(self.arm, *self.arm.forward(joints), joints, opening)
        turn = rotvec_to_matrix(values[3:6])
        if mode == "eef_pose":
            return _Commanded(self.arm, values[:3], turn, self.joints, opening)
        return _Commanded(self.arm, self.position + values[:3], turn @ self.rotation, self.joints, opening)
