"""The actions that are still to be executed, while the next ones are being computed: on robots and in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.choices import COMPENSATIONS, Compensation
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError, UnknownNameError
from toyshift.policies.runtime.turns import matrix_to_rotvec, rotvec_to_matrix

Pose = tuple[Array, Array]
NOWHERE: Pose = (np.zeros(()), np.eye(3))  # where a path begins
TURNS = ("rx", "ry", "rz")  # entries of an action that are a rotation


class ChunkBuffer:
    """Takes chunks when they arrive, and gives one action per control step.

    A chunk is asked for (`asked`) with an observation, arrives (`arrived`) after any number of control steps, and then
    replaces what is left of the chunk before it. With "skip", as many of its actions are skipped as were *executed*
    since its observation: actions during which the robot stood still are not among them, and of the first chunk, before
    which nothing was executed, none is. The seam is as long as what was skipped:

    - absolute actions go over from the old chunk to the new one, evenly;
    - deltas keep their anchor. A chunk of deltas is a path that begins at the command of its observation. Skipping its
      first steps after other steps were executed would shift the path by their difference, so that is added, evenly
      over the seam. Where nothing was executed meanwhile there is no seam, and the chunk is executed as it is.

    The gripper's entry is never blended: a half-open gripper is no mixture of open and shut.

    Args:
        contract: what actions mean.
        execute: actions of a chunk after which the next is asked for; 0 takes all of them.
        compensation: "skip"; "none" begins every chunk with its first action, late as it is, without a seam; "wait"
            stands still while the next one is computed.
    """

    def __init__(self, contract: ActionContract, execute: int, compensation: Compensation = "skip") -> None:
        if compensation not in COMPENSATIONS:
            raise UnknownNameError("compensation", compensation, COMPENSATIONS)
        self.contract, self.execute, self.compensation = contract, max(0, int(execute)), compensation
        self._low, self._high = (np.asarray(side, np.float32) for side in (contract.low, contract.high))
        self._moves = np.array([name != "gripper" for name in contract.names])
        turns = [contract.names.index(name) for name in TURNS if name in contract.names]
        self._turns = turns if len(turns) == len(TURNS) else []
        self.reset()

    def reset(self) -> None:
        """Forgets the episode."""
        self._chunk: Float32 = np.zeros((0, self.contract.size), np.float32)
        self._next = 0  # of the chunk, which is executed next
        self._since = 0  # actions executed since the latest observation
        self._executed: list[Float32] = []  # those, as they were sent
        self._seam, self._seam_steps = 0, 0  # actions that are still to be blended, and those of the whole seam
        self._old: list[Float32] = []  # what absolute actions are blended with
        self._meant, self._done = NOWHERE, NOWHERE  # of deltas, since the observation: the chunk's path, the robot's
        self._waiting = False  # for a chunk that was asked for
        self._last: Float32 | None = None  # action that was sent

    @property
    def wants(self) -> bool:
        """Whether the next chunk is to be asked for now."""
        done = self.execute and self._since >= self.execute
        return not self._waiting and bool(done or not self.left)

    @property
    def left(self) -> int:
        """Actions of the present chunk that are not executed yet."""
        return len(self._chunk) - self._next

    @property
    def waiting(self) -> bool:
        """Whether a chunk was asked for that has not arrived."""
        return self._waiting

    def asked(self) -> None:
        """An observation was taken, from which the next chunk is now computed."""
        self._waiting, self._since, self._executed = True, 0, []

    def arrived(self, chunk: Float32) -> int:
        """Takes the chunk (K, A) that was asked for, and returns how many of its actions are skipped.

        Raises:
            ContractError: none was asked for, or it has another shape or is not finite.
        """
        if not self._waiting:
            raise ContractError("a chunk arrived that was not asked for")
        chunk = np.asarray(chunk, dtype=np.float32)
        if chunk.ndim != 2 or chunk.shape[1] != self.contract.size or not len(chunk) or not np.isfinite(chunk).all():
            raise ContractError(f"a chunk of shape {chunk.shape}; it must be finite (K, {self.contract.size})")
        self._waiting = False
        skipped = min(self._since, len(chunk)) if self.compensation == "skip" else 0
        old = self._chunk[self._next :]
        self._chunk, self._next = chunk, skipped
        self._seam = self._seam_steps = skipped
        if skipped and self._deltas:
            self._meant, self._done = self._path(chunk[:skipped]), self._path(self._executed)
        elif skipped:
            self._old = [*old[:skipped], *[self._executed[-1]] * (skipped - len(old))]
        return skipped

    def failed(self) -> None:
        """The chunk that was asked for does not come; the next control step asks again, if there is an `execute`."""
        self._waiting, self._since = False, max(self._since, self.execute)

    def action(self) -> Float32 | None:
        """Returns the action (A,) of this control step; None where there is none, and the robot is to stand still.

        `sent` is to be told what became of it.
        """
        if not self.left or (self.compensation == "wait" and self._waiting):
            return None
        action = self._chunk[self._next]
        if self._seam:
            action = np.clip(self._blended(action), self._low, self._high)
        return np.array(action, dtype=np.float32)

    def sent(self, action: Float32) -> None:
        """Notes the action (A,) that the robot was given in the place of the one of `action`."""
        action = np.asarray(action, dtype=np.float32)
        if action.shape != (self.contract.size,) or not np.isfinite(action).all():
            told = f"it must be finite ({self.contract.size},)"
            raise ContractError(f"an action of shape {action.shape} was sent; {told}")
        if self._seam and self._deltas:
            self._meant = self._path(self._chunk[self._next : self._next + 1], self._meant)
            self._done = self._path([action], self._done)
        self._seam = max(0, self._seam - 1)
        self._next += 1
        self._since += 1
        self._executed.append(action)
        self._last = action

    def hold(self) -> Float32 | None:
        """Returns the action (A,) that keeps the robot where it was told to be; None where nothing was sent yet.

        Deltas of zero, or the last absolute action once more; the gripper as it was told last.
        """
        if self._last is None:
            return None
        return np.where(self._moves & self._deltas, np.float32(0), self._last)

    # ---------------------------------------------------------------- seams

    @property
    def _deltas(self) -> bool:
        return self.contract.mode.endswith("_delta")

    def _path(self, deltas: Sequence[Float32] | Float32, start: Pose | None = None) -> Pose:
        """Returns where deltas lead: the sum of their entries (A,), and a rotation (3, 3)."""
        total, rotation = start or NOWHERE
        for delta in deltas:
            total = total + delta
            if self._turns:
                rotation = rotvec_to_matrix(delta[self._turns]) @ rotation
        return total, rotation

    def _blended(self, action: Float32) -> Float32:
        """Returns an action inside a seam."""
        mixed = np.array(action, dtype=np.float64)
        if self._deltas:  # an equal part of what is still to be made up
            (meant, turn), (done, turned) = self._meant, self._done
            mixed += (meant - done) / self._seam
            new, first = self._matrix(action), _along(np.eye(3), turn @ turned.T, 1.0 / self._seam)
            rotation = new @ first
        else:
            share, old = self._seam / (self._seam_steps + 1), self._old[self._seam_steps - self._seam]
            mixed += share * (old - mixed)
            rotation = _along(self._matrix(action), self._matrix(old), share)
        if self._turns:
            mixed[self._turns] = matrix_to_rotvec(rotation)
        return np.where(self._moves, mixed, action).astype(np.float32)

    def _matrix(self, action: Float32) -> Array:
        return rotvec_to_matrix(action[self._turns]) if self._turns else np.eye(3)


def _along(start: Array, end: Array, share: float) -> Array:
    """Returns the rotation that lies `share` of the way from one to another, along the shorter arc."""
    return rotvec_to_matrix(share * matrix_to_rotvec(end @ start.T)) @ start


def steps_late(seconds: float, control_hz: float) -> int:
    """Returns after how many control steps something arrives that takes so long: at the first that begins later."""
    return math.ceil(seconds * control_hz - 1e-9)


class VirtualClock:
    """When chunks arrive that take a while, in control steps: virtual time, seeded.

    Args:
        latency: mean time from an observation to its chunk [s].
        jitter: largest deviation from it, evenly distributed [s]; nothing arrives before it was asked for.
        control_hz: control steps per second.
        rng: draws the deviations; one number per chunk.
    """

    def __init__(self, latency: float, jitter: float, control_hz: float, rng: np.random.Generator) -> None:
        self.latency, self.jitter, self.control_hz, self._rng = latency, jitter, control_hz, rng

    def late(self) -> int:
        """Returns how many control steps later the next chunk arrives."""
        seconds = self.latency + self.jitter * (2.0 * float(self._rng.random()) - 1.0) if self.jitter else self.latency
        return steps_late(max(seconds, 0.0), self.control_hz)

