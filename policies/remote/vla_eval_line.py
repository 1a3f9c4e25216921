"""vla-eval's protocol (Ai2's harness), as its clients speak it: a model server is asked for every action.

A message is a msgpack map of "type" (hello, episode_start, observation, action, episode_end, error), "payload", "seq"
and "timestamp" [s]; an array in it is {"__ndarray__": True, "data", "dtype", "shape"}. The client says hello and is
answered with the server's; a beginning and an end of an episode are told and not answered; an observation is answered
with an action, or an error, of the same "seq".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.errors import ContractError, RemoteError, shown
from toyshift.core.vla_eval_terms import CONTRACTS, PROMPT, PROTOCOL_VERSION, SUPPORTED, actions_in
from toyshift.policies.remote.lines import Line
from toyshift.policies.remote.wire import KINDS, array_of, pack, unpack

HELLO, START, END = "hello", "episode_start", "episode_end"
OBSERVATION, ACTION, ERROR = "observation", "action", "error"
ARRAY = "__ndarray__"
FIELDS = {"type": str, "payload": dict, "seq": int}  # that are read of a message


class VlaEvalLine(Line):
    """One client of a model server of vla-eval.

    A key with a dot of an observation goes into a map: "images.front" is the entry "front" of "images".
    """

    execute = 1  # servers keep the rest of a chunk, and answer every observation
    keys = "vla-eval"

    def __init__(self, policy: str, timeout: float) -> None:
        super().__init__(policy, timeout)
        self._seq = 0
        self._starts = self._inside = False  # an episode is to be begun with the next observation; one has begun

    def connect(self) -> dict[str, Any]:
        """Says hello; see `Line.connect`.

        Raises:
            RemoteError: the server speaks no or another version of this protocol.
        """
        self._starts = self._inside = False
        hello = {"harness_version": "toyshift", "protocol_version": PROTOCOL_VERSION, "benchmark": "toyshift"}
        kind, said, _ = self._read(self._open(self._message(HELLO, hello)))
        spoken = said.get("protocol_version")
        if kind != HELLO or spoken != PROTOCOL_VERSION:
            self.close()
            theirs = f"version {shown(spoken)} of vla-eval's protocol" if kind == HELLO else f"{kind!r} before hello"
            package = f" (its vla-eval is {shown(said['harness_version'])})" if "harness_version" in said else ""
            known = f"ToyShift knows version {PROTOCOL_VERSION}, that of vla-eval {SUPPORTED}"
            raise RemoteError(f"{self.where} speaks {theirs}{package}; {known}")
        params = said.get("observation_params")
        ours = params.get(CONTRACTS, {}) if isinstance(params, dict) else {}
        return {"vla_eval": said} | ({"toyshift": ours} if ours else {})

    def begin(self, *, tells: bool) -> None:
        """Ends the episode before; the next is begun with its first observation, which has the instruction."""
        if self._inside:
            self._send(self._message(END, {}))
        self._starts, self._inside = True, False

    def ask(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        if self._starts:
            task = str(observation.get(PROMPT, ""))
            self._send(self._message(START, {"task": {"name": task, PROMPT: task}}))
            self._starts, self._inside = False, True
        self._send(self._message(OBSERVATION, nested(observation)))
        kind, answer, seq = self._read(self._receive())
        if kind == ERROR:
            raise self._refused(str(answer.get("error", answer)))
        if kind != ACTION or seq != self._seq:
            self.close()
            raise RemoteError(f"{self.where} sent {kind!r} of message {seq} where {ACTION!r} of {self._seq} is due")
        try:
            actions = np.asarray(actions_in(answer))
        except ValueError as error:  # none, or lists of different lengths
            self.close()
            told = error if isinstance(error, ContractError) else f"its actions are no array: {error}"
            raise ContractError(f"{self.where}: {told}") from error
        return {"actions": actions[None] if actions.ndim == 1 else actions}

    # ---------------------------------------------------------------- messages

    def _message(self, kind: str, payload: Mapping[str, Any]) -> bytes:
        self._seq += 1
        return packed_message(kind, payload, self._seq)

    def _read(self, frame: bytes) -> tuple[str, dict[str, Any], int]:
        try:
            return unpacked_message(frame, self.where)
        except RemoteError:
            self.close()
            raise


def packed_message(kind: str, payload: Mapping[str, Any], seq: int) -> bytes:
    """Returns the bytes of a message.

    Raises:
        RemoteError: it holds something that is no number, text, list, map or array of numbers.
    """
    return pack({"type": kind, "payload": dict(payload), "seq": seq, "timestamp": time.time()}, _tagged)


def unpacked_message(frame: bytes, sender: str) -> tuple[str, dict[str, Any], int]:
    """Returns type, payload and number of a message; images that travel compressed stay maps.

    Raises:
        RemoteError: these bytes are none.
    """
    message = unpack(frame, sender, _untagged, "vla-eval's protocol")
    for name, kind in FIELDS.items():
        if not isinstance(message.get(name), kind):
            told = f"with {name} {shown(message[name])}" if name in message else f"without {name!r}"
            raise RemoteError(f"{sender} sent a message {told}, which is none of vla-eval's protocol")
    return message["type"], message["payload"], message["seq"]


def nested(observation: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an observation whose keys with a dot have become maps."""
    out: dict[str, Any] = {}
    for key, value in observation.items():
        outer, dot, inner = key.partition(".")
        if dot:
            out.setdefault(outer, {})[inner] = value
        else:
            out[key] = value
    return out


def _tagged(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"a {type(value).__name__} is neither number, text, list, map nor array")
    if value.dtype.kind not in KINDS:
        raise TypeError(f"arrays of dtype {value.dtype} do not travel; numbers do")
    if isinstance(value, np.generic):
        return value.item()
    return {ARRAY: True, "data": value.tobytes(), "dtype": value.dtype.str, "shape": list(value.shape)}


def _untagged(value: dict[Any, Any]) -> Any:
    return array_of(value["dtype"], value["shape"], value["data"]) if ARRAY in value else value
