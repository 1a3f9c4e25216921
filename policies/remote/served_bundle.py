"""A bundle behind a policy server, for the runtime on a robot: the server computes chunks, this machine the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toyshift.core.arrays import Float32
from toyshift.core.errors import ConfigError
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.options import RemoteOptions


class ServedBundle:
    """What `policies.runtime.Runtime` takes in the place of a folder: `Runtime(ServedBundle("ws://HOST:PORT"), ...)`.

    Args:
        url: ws://HOST:PORT or wss://HOST:PORT of `toyshift serve --policy BUNDLE`.
        timeout: longest wait for an answer [s].

    Attributes:
        contract: "arm", "cameras" and "policy" of the bundle's contract.json.
        features: (1, F) of the latest observation, (0,) before there is one.

    Raises:
        RemoteError: nobody answers there.
        ConfigError: the server serves no bundle.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self._remote = RemotePolicy(url, RemoteOptions(timeout=timeout))
        said = self._remote.metadata.get("toyshift", {})
        if "bundle" not in said:
            told = f"the server at {self._remote.where} serves no bundle, so it tells no arm and no cameras"
            raise ConfigError(f"{told}; export the policy, and serve the bundle: `toyshift serve --policy BUNDLE`")
        action, observation = self._remote.action_contract, self._remote.observation_contract
        assert action is not None  # a toyshift server says both
        assert observation is not None
        self.contract: dict[str, Any] = said["bundle"]
        self.action_contract, self.observation_contract = action, observation
        self.name, self.execute = self._remote.name, self._remote.execute
        self.cameras = tuple(map(str, said["cameras"]))
        self.needs_masks = bool(said["needs_masks"])
        self._remote.asks_features = self._remote.gives_rest = True
        self._remote.bind(action, observation)

    @property
    def features(self) -> list[Float32]:
        """As of an `OnnxPolicy`: one row, or none."""
        return [] if self._remote.features is None else [self._remote.features]

    def reset(self) -> None:
        """Begins an episode; connects again where the connection was lost."""
        self._remote.reset()

    def act(self, obs: Mapping[str, Any]) -> Float32:
        """Returns a chunk (K, A); arguments and errors as those of `RemotePolicy.act`."""
        return self._remote.act(obs)

    def close(self) -> None:
        self._remote.close()
