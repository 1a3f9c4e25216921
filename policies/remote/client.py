"""A policy behind a server that speaks openpi's websocket protocol, with the interface of an `ActingPolicy`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import ActionContract, ObservationContract, require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, ContractError, RemoteError
from toyshift.core.files import content_hash
from toyshift.policies.remote.access import API_KEY
from toyshift.policies.remote.actions import ActionMeaning, checked_chunk, clipped
from toyshift.policies.remote.keys import ALL, Keys, Translator
from toyshift.policies.remote.options import SOCKETS, RemoteOptions
from toyshift.policies.remote.session import ACKNOWLEDGE, ASK_FEATURES, CONTROL, MONITOR, PROTOCOL, START
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack, websockets_package

CONNECT_SECONDS = 10.0
SHOWN = 600  # characters of a server's error text
RERUN = "finished episodes are kept: once it is there again, the same command goes on"


class RemotePolicy:
    """Connects, reads what the server says about its policy, and asks it for chunks of actions.

    Args:
        url: ws://HOST:PORT or wss://HOST:PORT.
        options: what the user says about it.
        name: name in tables; what the server calls it, or host and port.

    Attributes:
        metadata: what the server sent on connection.
        pooling: name of its pooling, "" where it has none.
        execute: actions of a chunk to execute; 0 is all of them.
        gives_rest: whether chunks hold the actions after those to execute, too, for while the next one is late.
        asks_features: whether the server is asked for them.
        features: (F,) that a served bundle made of the latest observation; None where the server does not say.
        action_contract: what the server says that its actions mean; None where it does not.
        observation_contract: what the server says that it must be shown, likewise.

    Raises:
        RemoteError: nobody answers at that address.
        ConfigError: neither the server nor the user says what the actions mean or how the observations are called.
        MissingDependencyError: websockets or msgpack is not installed.
    """

    def __init__(self, url: str, options: RemoteOptions | None = None, name: str = "") -> None:
        self.url, self.options = url, options or RemoteOptions()
        self.where = _host_and_port(url)
        self._websockets = websockets_package()
        self._socket: Any = None
        self._opened = contextlib.ExitStack()
        self.metadata = self._connect()
        said = self.metadata.get("toyshift", {})
        if said and (not isinstance(said, dict) or said.get("protocol") != PROTOCOL):
            spoken = said.get("protocol") if isinstance(said, dict) else said
            raise RemoteError(f"{self.where} speaks of toyshift's protocol {spoken!r}; this version knows {PROTOCOL}")
        self.name = name or str(said.get("name") or self.where)
        self.pooling = str(said.get("pooling", ""))
        action, observation = said.get("action_contract"), said.get("observation_contract")
        self.action_contract = None if action is None else ActionContract.from_json(action)
        self.observation_contract = None if observation is None else ObservationContract.from_json(observation)
        self._starts_episodes = bool(said.get("episode_start", False))
        self._sizes = {str(camera): size for camera, size in said.get("images", {}).items()}
        self._actions = self._stated_actions()
        self._keys = self._stated_keys(said)
        self.execute = int(said.get("execute", 0)) or self.options.execute or self._actions.execute
        if self.options.execute not in (0, self.execute):
            raise ConfigError(
                f"{self.where} says that {self.execute} actions of a chunk are to be executed, and may count on it; "
                "leave --remote-execute out"
            )
        self._warned = False
        self.asks_features = self.gives_rest = False
        self.features: Float32 | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the address and of everything that the server says about its policy."""
        return content_hash(self.url, pack(self.metadata))

    @property
    def needs_masks(self) -> bool:
        """Whether masks are sent to it."""
        return bool(self._keys.masks)

    def shown_cameras(self, cameras: Sequence[str]) -> tuple[str, ...]:
        """Returns of which of an environment's cameras the images are sent to it."""
        sent = self._keys.images.values()
        return tuple(camera for camera in cameras if ALL in sent or camera in sent)

    # ---------------------------------------------------------------- what is said about it

    def _stated_actions(self) -> ActionMeaning:
        if self.action_contract is None and not self.options.actions:
            raise ConfigError(
                f"{self.where} does not say what its actions mean, and guessing would be worth nothing: "
                "--remote-actions MODE (physical units), libero, droid or FILE.json; see docs/remote_policies.md"
            )
        if self.action_contract is not None:
            if self.options.actions and self.options.actions != self.action_contract.mode:
                said = f"says what its actions mean ({self.action_contract.mode})"
                raise ConfigError(f"{self.where} {said}; leave --remote-actions {self.options.actions} out")
            return ActionMeaning(self.action_contract.mode, control_hz=self.action_contract.control_hz)
        return ActionMeaning.read(self.options.actions)

    def _stated_keys(self, said: Mapping[str, Any]) -> Keys:
        if self.options.keys:
            return Keys.read(self.options.keys)
        if "keys" in said:
            return Keys(**said["keys"])
        if self.observation_contract is not None:
            keys = Keys.read("toyshift")
            return keys if said.get("needs_masks", True) else dataclasses.replace(keys, masks={})
        raise ConfigError(
            f"{self.where} does not say how it calls observations: "
            "--remote-keys libero, droid, lerobot or FILE.json; see docs/remote_policies.md"
        )

    def env_arguments(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns environment arguments with those that are said and stated filled in; given ones win.

        What a contract fixes is not among them.
        """
        filled = self._actions.env_arguments()
        if self.observation_contract is not None:
            return filled | dict(kwargs)
        sizes = {camera: tuple(size) for camera, size in self._sizes.items()}
        if not sizes and self._keys.resize:
            sizes = dict.fromkeys(self._keys.cameras, (self._keys.resize,) * 2)
        if len(set(sizes.values())) == 1:
            filled |= {"image_size": next(iter(sizes.values())), "cameras": tuple(sizes)}
        elif sizes:
            filled["cameras"] = tuple({"name": name, "size": list(size)} for name, size in sizes.items())
        elif self._keys.cameras:
            filled["cameras"] = self._keys.cameras
        return filled | dict(kwargs)

    def bind(self, actions: ActionContract, observations: ObservationContract) -> None:
        """Prepares for one environment.

        Raises:
            ContractError: it acts otherwise than is said, or lacks a camera or an entry of the state.
        """
        if self.action_contract is not None:
            require_same_contract(self.action_contract, actions, f"policy {self.name}", "the environment")
        if self.observation_contract is not None and not self.options.keys:
            require_same_observations(self.observation_contract, observations, f"policy {self.name}", "the environment")
        self._actions.check(actions, f"policy {self.name}")
        self._contract = actions
        self._translate = Translator(self._keys, actions, observations, f"policy {self.name}")

    # ---------------------------------------------------------------- acting

    def reset(self) -> None:
        """Begins an episode; connects again where an idle connection was lost since the last one."""
        if self._socket is None or self._socket.state.name != "OPEN":
            before = self.fingerprint
            self.metadata = self._connect()
            if self.fingerprint != before:
                raise RemoteError(f"another policy answers at {self.where} than at the beginning of this evaluation")
        if self._starts_episodes and self._ask({CONTROL: START}).get(ACKNOWLEDGE) != START:
            raise RemoteError(f"{self.where} said that it knows {START!r} and does not acknowledge it")

    def act(self, observation: Mapping[str, Any]) -> Float32:
        """Returns the (K, A) physical actions to execute, inside the action contract's bounds.

        Args:
            observation: the environment's, and "task", the instruction.

        Raises:
            RemoteError: no answer in time, a lost connection, or the server's own error.
            ContractError: the answer is no chunk of finite actions of the right size, or shorter than what is to be
                executed.
        """
        message = self._translate(observation)
        answer = self._ask(message | {ASK_FEATURES: True} if self.asks_features else message)
        if "actions" not in answer:
            sent = ", ".join(map(str, answer)) or "nothing"
            raise ContractError(f"{self.where} answered without 'actions'; it sent: {sent}")
        chunk = checked_chunk(answer["actions"], self._contract, self.where)
        told = answer.get(MONITOR, {})
        self.features = np.asarray(told["features"], np.float32) if "features" in told else None
        if len(chunk) < self.execute:
            wanted = f"{self.execute} are to be executed (--remote-execute)"
            raise ContractError(f"{self.where} answered with {len(chunk)} actions; {wanted}")
        joints = self._translate.joints(observation["agent_pos"]) if self._actions.relative else None
        chunk = self._actions.physical(chunk if self.gives_rest else chunk[: self.execute or None], joints)
        chunk, outside = clipped(chunk, self._contract, self.where, warn=not self._warned)
        self._warned |= outside
        return chunk

    def act_apart(self, observations: Sequence[Mapping[str, Any]]) -> Float32:
        """Returns what `act` answers to each observation if an episode begins with it: chunks (B, K, A), of the
        shortest one's length.
        """
        chunks = []
        for observation in observations:
            self.reset()
            chunks.append(self.act(observation))
        shortest = min(map(len, chunks))
        return np.stack([chunk[:shortest] for chunk in chunks])

    def close(self) -> None:
        self._socket = None
        self._opened.close()

    # ---------------------------------------------------------------- the connection

    def _connect(self) -> dict[str, Any]:
        self.close()
        key = os.environ.get(API_KEY)
        errors = self._websockets.exceptions
        try:
            # No pings: a server that computes in its event loop does not answer them. No proxy: policies are near.
            self._socket = self._opened.enter_context(self._websockets.sync.client.connect(
                self.url, compression=None, max_size=MAX_BYTES, open_timeout=CONNECT_SECONDS, close_timeout=2,
                ping_interval=None, proxy=None,
                additional_headers={"Authorization": f"Api-Key {key}"} if key else None,
            ))  # fmt: skip
            greeting = self._socket.recv(timeout=CONNECT_SECONDS)
        except (OSError, errors.WebSocketException) as error:
            self.close()
            what, help_ = f"no policy server answers at {self.where}", f"start it, or correct --policy {self.url}"
            if getattr(getattr(error, "response", None), "status_code", 0) == 401:
                what, help_ = f"the policy server at {self.where} wants a key", f"set {API_KEY} to the one it knows"
            raise RemoteError(f"{what} ({_reason(error)}); {help_}; {RERUN}") from error
        if isinstance(greeting, str):
            raise RemoteError(f"{self.where} refuses: {greeting.strip()[-SHOWN:]}")
        return unpack(greeting, self.where)

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Sends a message and returns the answer to it; after an error the connection is closed."""
        if self._socket is None:
            raise RemoteError(f"the connection to {self.where} was lost; {RERUN}")
        try:
            self._socket.send(pack(message))
            answer = self._socket.recv(timeout=self.options.timeout)
        except TimeoutError as error:
            self.close()  # the answer may still come, and would be taken for that of the next observation
            late = f"has not answered within {self.options.timeout:g} s; --remote-timeout waits longer"
            raise RemoteError(f"{self.where} {late}; {RERUN}") from error
        except (OSError, self._websockets.exceptions.ConnectionClosed) as error:
            self.close()
            raise RemoteError(f"{self.where} closed the connection ({_reason(error)}); {RERUN}") from error
        if isinstance(answer, str):
            self.close()
            raise RemoteError(f"{self.where} answered with an error: {answer.strip()[-SHOWN:]}")
        return unpack(answer, self.where)


def _reason(error: Exception) -> str:
    told = str(getattr(error, "strerror", None) or error) or type(error).__name__
    body = getattr(getattr(error, "response", None), "body", None) or b""  # of a server that refuses the handshake
    return f"{told}: {body[:SHOWN].decode(errors='replace').strip()}" if body else told


def _host_and_port(url: str) -> str:
    """Returns HOST:PORT of a ws:// or wss:// address.

    Raises:
        ConfigError: there is no host, or the port is no number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address of a policy server ({error}); write ws://HOST:PORT") from error
    if not url.startswith(SOCKETS) or not parts.hostname:
        raise ConfigError(f"{url!r} is no address of a policy server; write ws://HOST:PORT")
    return f"{parts.hostname}:{port}"
