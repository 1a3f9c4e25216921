"""An exported bundle that acts: onnxruntime and NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Image
from toyshift.core.contract import HISTORY_IS_PAD, ActionContract, ObservationContract
from toyshift.policies.act.acting_policy import ActingPolicy
from toyshift.policies.act.bundle_format import (
    FEATURES,
    HISTORY,
    OUTPUT,
    PROPOSAL,
    TRIED,
    check_bundle,
    open_session,
    read_sentences,
)
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import instructions_of


class OnnxPolicy(ActingPolicy):
    """Acts from a bundle after checking its hashes.

    Args:
        folder: written by `export`.
        name: name in tables.
        threads: onnxruntime threads.

    Attributes:
        contract: what contract.json says.
        features: (B, F) that the network made of the latest observations, which its actions come from; empty where the
            bundle does not give them (format 1).
    """

    def __init__(self, folder: Path, name: str, threads: int = 1) -> None:
        contract = check_bundle(folder)
        action, observation = contract["action"], contract["observation"]
        contracts = ActionContract.from_json(action), ObservationContract.from_json(observation)
        super().__init__(name, PolicyConfig.from_json(contract["policy"]), *contracts)
        self.contract = contract
        self.instructions = instructions_of(self.config, read_sentences(folder))
        self.session = open_session(folder, threads)
        self._features = int(contract["outputs"].get(FEATURES, {"shape": [0]})["shape"][-1])
        self.features: Float32 = np.zeros((0, self._features), np.float32)

    def predict(
        self, images: Mapping[str, Image], masks: Mapping[str, Image], state: Float32,
        instruction: NDArray[Any] | None = None,
    ) -> Float32:
        seen = images if self.config.needs_images else {}
        inputs: dict[str, NDArray[Any]] = {f"image.{c}": np.asarray(a) for c, a in seen.items()}
        if self.needs_masks:
            inputs |= {f"mask.{c}": np.asarray(a) for c, a in masks.items()}
        inputs["state"] = np.asarray(state, dtype=np.float32)
        if instruction is not None:
            inputs[INSTRUCTION] = instruction
        if (noise := self.noise(len(state))) is not None:
            inputs["noise"] = noise
        wanted = [OUTPUT, FEATURES] if self._features else [OUTPUT]
        if before := self.config.steps_seen - 1:
            steps = self.steps_before(len(state))
            known = len(steps)
            inputs[HISTORY] = np.zeros((len(state), before, self._features), np.float32)
            inputs[HISTORY_IS_PAD] = np.repeat(np.arange(before)[None] < before - known, len(state), axis=0)
            if known:
                inputs[HISTORY][:, before - known :] = np.stack(steps, axis=1)
        if self.proposals is not None:
            inputs[TRIED] = self.proposals.tried(inputs["state"])
            wanted.append(PROPOSAL)
        out = dict(zip(wanted, self.session.run(wanted, inputs), strict=True))
        if self._features:
            self.features = np.asarray(out[FEATURES], np.float32)
        if before:
            self._steps = [*steps, out[FEATURES]][-before:]
        if self.proposals is not None:
            self.proposals.took(out[PROPOSAL])
        return np.asarray(out[OUTPUT], dtype=np.float32)
