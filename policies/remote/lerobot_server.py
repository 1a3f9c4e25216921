"""Serves a LeRobot policy; run by `lerobot_process` in an environment that has LeRobot and not ToyShift.

Its last argument is a JSON object: "policy" (folder), "rooms" (import name -> folder of ToyShift's rooms), "packages"
(folder to borrow websockets and msgpack from where this environment lacks them) and "contracts" (what the server says
about the policy).
"""

from __future__ import annotations

import copy
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

BORROWED = ("msgpack", "websockets.exceptions", "websockets.sync.client", "websockets.sync.server")


def furnish(rooms: dict[str, str], packages: str) -> None:
    """Makes ToyShift's rooms importable without installing it, and borrows two pure-Python packages."""
    namespace = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("toyshift", None, is_package=True))
    sys.modules["toyshift"] = namespace
    for name, folder in rooms.items():
        place = Path(folder) / "__init__.py"
        spec = importlib.util.spec_from_file_location(name, place, submodule_search_locations=[folder])
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} is no room of ToyShift")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    sys.path.append(packages)  # last, and only now: everything else must come from this environment
    try:
        for name in BORROWED:
            importlib.import_module(name)
    finally:
        sys.path.remove(packages)


class Network:
    """A LeRobot policy with its processors, as LeRobot saved them."""

    def __init__(self, folder: str) -> None:
        import torch
        from lerobot.configs.policies import PreTrainedConfig
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        self.config = PreTrainedConfig.from_pretrained(folder)
        self.policy = get_policy_class(self.config.type).from_pretrained(folder, config=self.config)
        self.policy.eval()
        device = {"device_processor": {"device": str(self.config.device)}}
        self.processors = make_pre_post_processors(self.config, pretrained_path=folder, preprocessor_overrides=device)
        # every episode starts from it: policies that sample do not depend on the order of episodes
        self.random_state = torch.get_rng_state()
        features = self.config.input_features.items()
        self.shapes: dict[str, tuple[int, ...]] = {key: tuple(feature.shape) for key, feature in features}

    def metadata(self, contracts: dict[str, Any]) -> dict[str, Any]:
        """Returns what the server says.

        `select_action` is asked at every step, because LeRobot keeps chunks and histories inside.
        """
        from toyshift.core.contract import ENVIRONMENT_STATE
        from toyshift.policies.remote.session import PROTOCOL

        cameras = {key: key.rsplit(".", 1)[-1] for key in self.shapes if "image" in key}
        keys = {
            "images": cameras, "state": {key: ["*"] for key in self.shapes if key not in (*cameras, ENVIRONMENT_STATE)},
            "environment_state": ENVIRONMENT_STATE if ENVIRONMENT_STATE in self.shapes else "", "prompt": "task",
        }
        said: dict[str, Any] = {
            "protocol": PROTOCOL, "name": self.config.type, "execute": 1, "episode_start": True, "keys": keys,
            "images": {camera: list(self.shapes[key][-2:]) for key, camera in cameras.items()},
        }
        return {"toyshift": said | contracts}


class ServedEpisode:
    """One client: queues of its own, the network's tensors shared."""

    def __init__(self, network: Network) -> None:
        tensors = [*network.policy.parameters(), *network.policy.buffers()]
        self._network = network
        self._policy = copy.deepcopy(network.policy, {id(tensor): tensor for tensor in tensors})
        self._before, self._after = copy.deepcopy(network.processors)
        self.reset()

    def reset(self) -> None:
        self._random_state = self._network.random_state
        for part in (self._policy, self._before, self._after):
            part.reset()

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        import torch

        from toyshift.core.errors import ContractError, RemoteError

        batch: dict[str, Any] = {"task": str(observation.get("task", "")), "robot_type": ""}
        for key, shape in self._network.shapes.items():
            if key not in observation:
                there = ", ".join(map(str, observation))
                raise ContractError(f"the policy needs {key!r}; the observation has: {there}")
            value = torch.from_numpy(observation[key])
            if "image" in key:
                value = value.permute(2, 0, 1).contiguous().float() / 255  # (3, H, W), 0..1
            if tuple(value.shape) != shape:
                raise ContractError(f"{key} has shape {tuple(value.shape)}; the policy was trained with {shape}")
            batch[key] = value[None]
        torch.set_rng_state(self._random_state)
        try:
            with torch.inference_mode():
                action = self._after(self._policy.select_action(self._before(batch)))
        except Exception as error:  # the client is this process's own parent: it is told everything
            raise RemoteError(f"LeRobot failed: {type(error).__name__}: {error}") from error
        self._random_state = torch.get_rng_state()
        return {"actions": action.cpu().float().numpy()}  # (1, A)


def main() -> None:
    """Serves until the standard input ends, as it does when the process that started this one is gone."""

    def leave_with_parent() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=leave_with_parent, daemon=True).start()  # loading a policy may take minutes
    request = json.loads(sys.argv[-1])
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not end up in the answer
    furnish(request["rooms"], request["packages"])
    from toyshift.policies.remote.access import Limits
    from toyshift.policies.remote.server import PolicyServer

    network = Network(request["policy"])
    limits = Limits(clients=10_000, rate=0, idle=0)  # of workers of one evaluation
    server = PolicyServer(lambda: ServedEpisode(network), network.metadata(request["contracts"]), port=0, limits=limits)

    print(json.dumps({"port": server.port}), file=answer, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
