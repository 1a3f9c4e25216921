"""What one client of a policy server talks to: an episode with a memory of its own, and what it is told first."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ENVIRONMENT_STATE, IMAGE_PREFIX, MASK_PREFIX, STATE, TASK
from toyshift.core.errors import ContractError, RemoteError, shown

PROTOCOL = 1  # of what `metadata["toyshift"]` says
STATES = {STATE: "agent_pos", ENVIRONMENT_STATE: "environment_state"}  # our key -> the environment's
VIEWS = {IMAGE_PREFIX: "pixels", MASK_PREFIX: "masks"}  # the beginning of our keys -> the environment's
CONTROL, START, ACKNOWLEDGE = "__ctrl__", "episode_start", "__ack__"
BUNDLE_PARTS = ("arm", "cameras", "policy")  # of a bundle's contract: what acting on a robot needs
ASK_FEATURES = "__features__"  # key with which a client asks for what monitors read, beside actions
MONITOR = "monitor"  # key of the answer; a map, as openpi's clients take row i of every array of an answer
PAUSE = 10.0  # between an answer and the next observation, which then begins an episode [s]


class Session(Protocol):
    """What one client talks to: histories are its own, weights are shared."""

    def reset(self) -> None: ...

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to an observation; it has "actions", (K, A)."""
        ...


class MaskFinder(Protocol):
    """Gives observations masks that it finds in their images; `reset` once an episode."""

    def reset(self, seed: int, episode: int) -> None: ...

    def shown(self, observation: Mapping[str, Any]) -> Mapping[str, Any]: ...


class PolicySession:
    """One client of an `ActingPolicy`; observations have the batch contract's keys, without batch and time.

    "prompt" may stand for "task".

    Args:
        policy: shared by all sessions; its `reset` replaces what belongs to an episode.
        masks: finds masks in the images, of this client alone; those that are sent are then not looked at.
    """

    def __init__(self, policy: Any, masks: MaskFinder | None = None) -> None:
        self._policy, self._masks = copy.copy(policy), masks
        self._policy.called = _called
        self.reset()

    def reset(self) -> None:
        self._policy.reset()
        if self._masks is not None:
            self._masks.reset(0, 0)

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        named = {key: value for key, value in observation.items() if isinstance(key, str)}
        seen: dict[str, Any] = {STATES[key]: _state(key, named[key]) for key in STATES if key in named}
        for prefix, kind in VIEWS.items():
            views = {key: value for key, value in named.items() if key.startswith(prefix)}
            seen[kind] = {key.removeprefix(prefix): _array(key, value) for key, value in views.items()}
        seen[TASK] = named.get(TASK, named.get("prompt", ""))
        if not isinstance(seen[TASK], str):
            raise ContractError(f"{TASK} or prompt must be text, got {shown(seen[TASK])}")
        if self._masks is None:
            return self._answer(seen, named)
        blank = {camera: np.zeros(image.shape[:2], np.uint8) for camera, image in seen["pixels"].items()}
        checked = self._policy.inputs(seen | {"masks": blank})  # before detectors look at them
        return self._answer(self._masks.shown(seen | {"pixels": _first(checked.images)}), named)

    def _answer(self, seen: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        answer = {"actions": self._policy.act(seen)}
        features: Any = getattr(self._policy, "features", ()) if asked.get(ASK_FEATURES) else ()  # of a bundle
        return answer | ({MONITOR: {"features": features[0]}} if len(features) else {})


def _called(kind: str, camera: str = "") -> str:
    """Returns how a client calls a part of an observation."""
    names = {ours: key for key, ours in (STATES | VIEWS).items()}
    return names.get(kind, kind) + camera


def _array(key: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ContractError(f"{key} must be an array, got {shown(value)}") from error


def _state(key: str, value: Any) -> NDArray[Any]:
    state = _array(key, value)
    if state.dtype.kind not in "iuf":
        raise ContractError(f"{key} must be finite numbers, got {state.dtype} {shown(value)}")
    return state


def _first(batch: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {camera: images[0] for camera, images in batch.items()}


class Episodes:
    """A client's session, which forgets when an episode begins.

    Args:
        session: answers observations.
        clock: tells the time [s].
        begun: called when an episode begins.
    """

    def __init__(self, session: Session, clock: Callable[[], float], begun: Callable[[], None] = lambda: None) -> None:
        self._session, self._clock, self._begun = session, clock, begun
        self._tells = False  # the client says where episodes begin
        self._answered = math.inf  # when the last answer was ready

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to an observation or control message."""
        if CONTROL in message:
            if message[CONTROL] != START:
                raise RemoteError(f"{CONTROL} is {shown(message[CONTROL])}; this server knows {START!r}")
            self._tells = True
            self._begin()
            return {ACKNOWLEDGE: START}
        self.skip(message)
        answer = self._session.infer({key: value for key, value in message.items() if key != START})
        self._answered = self._clock()
        return answer

    def skip(self, observation: dict[str, Any]) -> None:
        """Takes of an observation only that it begins an episode, if it does."""
        begins = observation.get(START, False)
        if not isinstance(begins, bool | np.bool_):
            raise RemoteError(f"{START} is {shown(begins)}; it must be true or false")
        self._tells |= bool(begins)
        if begins or (not self._tells and self._clock() - self._answered > PAUSE):
            self._begin()

    def _begin(self) -> None:
        self._session.reset()
        self._begun()
        self._answered = math.inf


def policy_metadata(policy: Any, fingerprint: str, masks: str = "") -> dict[str, Any]:
    """Returns what the server of an `ActingPolicy` says about it.

    Args:
        policy: the policy.
        fingerprint: hash of its weights and configuration.
        masks: how the server finds masks; "" where clients send them.
    """
    said = {
        "protocol": PROTOCOL,
        "name": policy.name,
        "pooling": str(getattr(policy.config, "pooling_label", "")),
        "fingerprint": fingerprint,
        "action_contract": policy.action_contract.to_json(),
        "observation_contract": policy.observation_contract.to_json(),
        "cameras": list(policy.cameras),
        "needs_masks": bool(policy.needs_masks) and not masks,
        "execute": int(policy.execute),
        "episode_start": True,
    }
    bundle = getattr(policy, "contract", None)
    told = {} if bundle is None else {"bundle": {key: bundle.get(key) for key in BUNDLE_PARTS}}
    return {"toyshift": said | told | ({"masks": masks} if masks else {})}
