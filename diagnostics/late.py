"""Evaluation in which computing takes time: chunks arrive late, in virtual time, through the buffer of the runtime."""

from __future__ import annotations

import dataclasses

from toyshift.core.arrays import Float32
from toyshift.core.choices import Compensation
from toyshift.core.errors import ConfigError
from toyshift.core.fields import check_fields, check_ranges
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.actors import FolderActor
from toyshift.policies.runtime.chunk_buffer import ChunkBuffer, VirtualClock

LONGEST = 10.0  # [s]; an episode of 100 steps takes as long


@dataclasses.dataclass(frozen=True)
class Latency:
    """How late chunks arrive, and what is done about it.

    Attributes:
        seconds: mean time from an observation to its chunk [s].
        jitter: largest deviation from it, evenly distributed and drawn from the episode's own stream [s].
        compensation: see `policies.runtime.ChunkBuffer`.
    """

    seconds: float = 0.0
    jitter: float = 0.0
    compensation: Compensation = "skip"

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"seconds": (0, LONGEST), "jitter": (0, LONGEST)})
        if self.jitter > self.seconds:
            told = f"jitter is {self.jitter:g} s, latency {self.seconds:g} s"
            raise ConfigError(f"{told}: nothing arrives before it is asked for; jitter is at most the latency")

    @property
    def label(self) -> str:
        """What is added to a policy's name; "" without latency."""
        if not self.seconds:
            return ""
        jitter = f" +- {self.jitter:g}" if self.jitter else ""
        own = "" if self.compensation == "skip" else f", {self.compensation}"
        return f"latency {self.seconds:g}{jitter} s{own}"


class LateActor(FolderActor):
    """A policy whose chunks arrive late; the world goes on meanwhile.

    A chunk is computed from what was seen when it was asked for, and executed when it arrives. An episode's first chunk
    is waited for, with the robot at rest: that time is not counted. Where the actions run out, the robot stands still.

    Args:
        actor: whose policy and masks act.
        latency: how late.
    """

    def __init__(self, actor: FolderActor, latency: Latency) -> None:
        self.policy, self.masks, self.latency = actor.policy, actor.masks, latency
        self.ious: list[float] = []
        self.name, self.pooling = actor.name, actor.pooling

    def reset(self, env: World, seed: int, episode: int) -> None:
        super().reset(env, seed, episode)
        contract, latency = env.action_contract, self.latency
        self._buffer = ChunkBuffer(contract, int(self.policy.execute or 0), latency.compensation)
        rng = episode_rng(seed, episode, "latency")
        self._clock = VirtualClock(latency.seconds, latency.jitter, contract.control_hz, rng)
        self._coming: tuple[int, Float32] | None = None
        self._now, self._first = 0, True

    def actions(self, env: World) -> Float32:
        if self._buffer.wants:
            chunk = self.chunk(env)
            self._buffer.asked()
            self._coming = self._now + (0 if self._first else self._clock.late()), chunk
            self._first = False
        if self._coming is not None and self._now >= self._coming[0]:
            self._buffer.arrived(self._coming[1])
            self._coming = None
        self._now += 1
        action = self._buffer.action()
        if action is not None:
            self._buffer.sent(action)
            return action[None]
        held = self._buffer.hold()
        assert held is not None  # the first chunk is waited for
        return held[None]
