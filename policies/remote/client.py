"""A policy behind a server that speaks openpi's or vla-eval's protocol, with the interface of an `ActingPolicy`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import ActionContract, ObservationContract, require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, ContractError, RemoteError, UnknownNameError
from toyshift.core.files import content_hash
from toyshift.policies.remote.actions import ActionMeaning, checked_chunk, clipped
from toyshift.policies.remote.keys import ALL, LARGEST, Keys, Translator
from toyshift.policies.remote.lines import Line, OpenpiLine
from toyshift.policies.remote.options import VLA_EVAL, RemoteOptions
from toyshift.policies.remote.session import ASK_FEATURES, MONITOR, PROTOCOL
from toyshift.policies.remote.wire import pack


class RemotePolicy:
    """Connects, reads what the server says about its policy, and asks it for chunks of actions.

    Args:
        url: ws://HOST:PORT or wss://HOST:PORT (openpi's protocol), or vla-eval:HOST:PORT.
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
        self._line = _line(url, self.options.timeout)
        self.where = self._line.where
        self.metadata = self._line.connect()
        said = self.metadata.get("toyshift", {})
        if said and (not isinstance(said, dict) or said.get("protocol") != PROTOCOL):
            spoken = said.get("protocol") if isinstance(said, dict) else said
            raise RemoteError(f"{self.where} speaks of toyshift's protocol {spoken!r}; this version knows {PROTOCOL}")
        self.name = name or str(said.get("name") or self.where)
        self.pooling = str(said.get("pooling", ""))
        action, observation = said.get("action_contract"), said.get("observation_contract")
        try:
            self.action_contract = None if action is None else ActionContract.from_json(action)
            self.observation_contract = None if observation is None else ObservationContract.from_json(observation)
        except (ContractError, UnknownNameError) as error:
            raise RemoteError(f"{self.where} greets with contracts that are none: {error}") from error
        self._starts_episodes = bool(said.get("episode_start", False))
        self._sizes = self._said_sizes(said.get("images", {}))
        self._actions = self._stated_actions()
        self._keys = self._stated_keys(said)
        said_to_execute = said.get("execute", 0)
        if isinstance(said_to_execute, bool) or not isinstance(said_to_execute, int) or said_to_execute < 0:
            wanted = "a number of actions to execute, 0 for all"
            raise RemoteError(f"{self.where} greets with execute {said_to_execute!r}; it must be {wanted}")
        self.execute = said_to_execute or self.options.execute or self._line.execute or self._actions.execute
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

    def _said_sizes(self, images: Any) -> dict[str, tuple[int, int]]:
        """Returns camera -> height and width, as the server's greeting says."""

        def is_size(size: Any) -> bool:
            two = isinstance(size, list | tuple) and len(size) == 2
            return two and all(type(side) is int and 0 < side <= LARGEST for side in size)

        if not isinstance(images, Mapping) or not all(map(is_size, images.values())):
            wanted = "they must be camera -> [height, width] in pixels"
            raise RemoteError(f"{self.where} greets with images {images!r}; {wanted}")
        return {str(camera): (height, width) for camera, (height, width) in images.items()}

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
            try:
                return Keys.of(said["keys"])
            except (ConfigError, UnknownNameError) as error:
                told = f"{self.where} greets with keys that are none ({error})"
                raise RemoteError(f"{told}; --remote-keys says them in its place") from error
        if self.observation_contract is not None:
            keys = Keys.read(self._line.keys)
            return keys if said.get("needs_masks", True) else dataclasses.replace(keys, masks={})
        raise ConfigError(
            f"{self.where} does not say how it calls observations: "
            "--remote-keys libero, droid, lerobot, vla-eval, vla-eval-libero or FILE.json; see docs/remote_policies.md"
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
        if not self._line.is_open:
            before = self.fingerprint
            self.metadata = self._line.connect()
            if self.fingerprint != before:
                raise RemoteError(f"another policy answers at {self.where} than at the beginning of this evaluation")
        self._line.begin(tells=self._starts_episodes)

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
        answer = self._line.ask(message | {ASK_FEATURES: True} if self.asks_features else message)
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

    def act_apart(self, observations: Iterable[Mapping[str, Any]]) -> Float32:
        """Returns what `act` answers to each observation if an episode begins with it: chunks (B, K, A), of the
        shortest one's length. The next one is taken when the last has been answered.
        """
        chunks = []
        for observation in observations:
            self.reset()
            chunks.append(self.act(observation))
        shortest = min(map(len, chunks))
        return np.stack([chunk[:shortest] for chunk in chunks])

    def close(self) -> None:
        self._line.close()


def _line(policy: str, timeout: float) -> Line:
    """Returns the line, not yet connected, to a server of the protocol that an address names."""
    if not policy.startswith(VLA_EVAL):
        return OpenpiLine(policy, timeout)
    from toyshift.policies.remote.vla_eval_line import VlaEvalLine

    return VlaEvalLine(policy, timeout)
