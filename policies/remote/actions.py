"""What the actions of somebody else's policy mean, as its user states it, and how they become our actions."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.choices import ACTION_MODES
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.policies.remote.options import check_fields, preset_or_file

# What openpi's own clients do with the actions of the policies that its servers offer (examples/libero and
# examples/droid).
PRESETS: dict[str, dict[str, Any]] = {
    "libero": {
        "mode": "eef_delta", "control_hz": 20.0, "execute": 5,  # robosuite's OSC_POSE: [-1, 1] is 0.05 m and 0.5 rad
        "scale": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5], "gripper_open": -1.0, "gripper_closed": 1.0,
    },
    "droid": {
        "mode": "joint_delta", "control_hz": 15.0, "execute": 8,  # joint velocities: [-1, 1] is 0.2 rad per step
        "scale": [0.2] * 7, "gripper_open": 0.0, "gripper_closed": 1.0, "gripper_binary": True,
    },
} | {mode: {"mode": mode} for mode in ACTION_MODES}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ActionMeaning:
    """How the policy's numbers become physical actions of a mode.

    Attributes:
        mode: one of `ACTION_MODES`.
        scale: physical value (m, rad) of a 1, for all entries but the gripper's or one for each of them.
        gripper_open: the policy's value for an open gripper.
        gripper_closed: its value for a closed one.
        gripper_binary: round the gripper's command to open or closed.
        relative: joint angles are relative to the measured ones at the observation (`joint_pos` only).
        control_hz: actions per second that the policy was made for [Hz]; 0 is the environment's own rate.
        execute: actions of a chunk to execute; 0 is all of them.
    """

    mode: str
    scale: tuple[float, ...] = (1.0,)
    gripper_open: float = 1.0
    gripper_closed: float = 0.0
    gripper_binary: bool = False
    relative: bool = False
    control_hz: float = 0.0
    execute: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ACTION_MODES:
            raise UnknownNameError("action mode", str(self.mode), ACTION_MODES)
        numbers = (*self.scale, self.gripper_open, self.gripper_closed, self.control_hz, self.execute)
        if any(isinstance(n, bool) or not isinstance(n, int | float) or not np.isfinite(n) for n in numbers):
            names = "scale, gripper_open, gripper_closed, control_hz and execute"
            raise ConfigError(f"actions: {names} must be finite numbers, got {numbers}")
        if self.gripper_open == self.gripper_closed or self.control_hz < 0 or self.execute < 0:
            raise ConfigError("actions: gripper_open and gripper_closed must differ, control_hz and execute be >= 0")
        if self.relative and self.mode != "joint_pos":
            raise ConfigError(
                f"actions: relative goes with mode joint_pos; with {self.mode} "
                "name the mode that is relative (eef_delta, joint_delta) instead"
            )

    @classmethod
    def read(cls, text: str) -> ActionMeaning:
        """Returns what a mode's name (physical units, 1 open, 0 closed), a preset or a JSON file of fields states."""
        fields = preset_or_file("actions", text, PRESETS)
        check_fields("actions", fields, {f.name for f in dataclasses.fields(cls)})
        if "mode" not in fields:
            raise ConfigError(f"actions in {text} state no mode; choose one of {', '.join(ACTION_MODES)}")
        scale = fields.get("scale", [1.0])
        return cls(**fields | {"scale": tuple(scale) if isinstance(scale, list) else (scale,)})

    def env_arguments(self) -> dict[str, Any]:
        """Returns the environment arguments that make an environment of this mode and rate."""
        if not self.control_hz:
            return {"action_mode": self.mode}
        period = 1.0 / self.control_hz  # [s]
        # a period must be a whole number of physics steps: the nearest one to the default of 0.004 s
        physics_dt = period / max(1, round(period / 0.004))
        return {"action_mode": self.mode, "control_hz": self.control_hz, "physics_dt": physics_dt}

    def check(self, contract: ActionContract, policy: str) -> None:
        """Raises ContractError where an environment acts otherwise than stated."""
        if self.mode != contract.mode:
            raise ContractError(f"{policy} is stated to act in {self.mode}, the environment takes {contract.mode}")
        if self.control_hz and abs(self.control_hz - contract.control_hz) > 1e-6:
            rates = f"at {self.control_hz:g} Hz, the environment runs at {contract.control_hz:g} Hz"
            raise ContractError(f"{policy} is stated to act {rates}")
        if len(self.scale) not in (1, contract.size - 1):
            entries = f"{contract.size - 1} entries {', '.join(contract.names[:-1])}"
            raise ContractError(f"{policy}: {len(self.scale)} scales for the {entries}")

    def physical(self, actions: Float32, joints: Float32 | None = None) -> Float32:
        """Returns (K, A) physical actions for the policy's (K, A) ones.

        Args:
            actions: what the policy answered.
            joints: measured joint angles at the observation [rad], where actions are relative to them.
        """
        if self == ActionMeaning(self.mode, control_hz=self.control_hz, execute=self.execute):
            return actions  # already physical: bit for bit
        out = actions.astype(np.float64)
        out[:, :-1] *= self.scale
        if joints is not None:
            out[:, :-1] += joints
        opening = (out[:, -1] - self.gripper_closed) / (self.gripper_open - self.gripper_closed)
        out[:, -1] = opening >= 0.5 if self.gripper_binary else opening
        return out.astype(np.float32)


def checked_chunk(answer: Any, contract: ActionContract, policy: str) -> Float32:
    """Returns what a server calls "actions" as (K, A) float32.

    Raises:
        ContractError: it is no array of finite numbers of that shape; names shape or entry.
    """
    chunk = np.asarray(answer)
    wanted = f"{contract.mode} takes (K, {contract.size}): {', '.join(contract.names)}"
    if chunk.dtype.kind not in "iuf" or chunk.ndim != 2 or not len(chunk) or chunk.shape[1] != contract.size:
        raise ContractError(f"{policy} answered with actions of shape {chunk.shape} and dtype {chunk.dtype}; {wanted}")
    if not np.isfinite(chunk).all():
        row, entry = np.argwhere(~np.isfinite(chunk))[0]
        name = contract.names[entry]
        raise ContractError(f"{policy} answered with {chunk[row, entry]} in action {row}, entry {name}")
    return np.asarray(chunk, dtype=np.float32)


def clipped(chunk: Float32, contract: ActionContract, policy: str, *, warn: bool) -> tuple[Float32, bool]:
    """Returns the chunk inside the contract's bounds, and whether anything lay outside by over 1 % of its range."""
    low, high = np.asarray(contract.low, np.float32), np.asarray(contract.high, np.float32)
    excess = np.maximum(chunk - high, low - chunk) / (high - low)
    outside = bool(excess.max() > 0.01)
    if outside and warn:
        row, entry = np.unravel_index(np.argmax(excess), excess.shape)
        value = f"{contract.names[entry]} = {chunk[row, entry]:.4g} {contract.units[entry]}"
        warnings.warn(
            f"{policy}: {value} is beyond [{low[entry]:g}, {high[entry]:g}] and is clipped, as is all that follows; "
            "where that is the rule, the actions mean something else than is stated",
            stacklevel=2,
        )
    return np.clip(chunk, low, high), outside
