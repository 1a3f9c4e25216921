"""An exported bundle as an acting policy: onnxruntime and NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.policies.acting import ActingPolicy, Float
from toyshift.policies.bundle_format import OUTPUT, check_bundle, open_session
from toyshift.policies.config import PolicyConfig


class OnnxPolicy(ActingPolicy):
    """Acts from a bundle after checking its hashes.

    Args:
        folder: written by `export`.
        name: name in tables.
        threads: onnxruntime threads.
    """

    def __init__(self, folder: Path, name: str, threads: int = 1) -> None:
        contract = check_bundle(folder)
        super().__init__(
            name, PolicyConfig.from_json(contract["policy"]), ActionContract.from_json(contract["action"]), ObservationContract.from_json(contract["observation"])
        )
        self.session = open_session(folder, threads)

    def predict(self, images: Mapping[str, NDArray[np.uint8]], masks: Mapping[str, NDArray[np.uint8]], state: Float) -> Float:
        inputs: dict[str, NDArray[Any]] = {f"image.{c}": np.asarray(a) for c, a in images.items()}
        if self.needs_masks:
            inputs |= {f"mask.{c}": np.asarray(a) for c, a in masks.items()}
        inputs["state"] = np.asarray(state, dtype=np.float32)
        if (noise := self.noise(len(state))) is not None:
            inputs["noise"] = noise
        return np.asarray(self.session.run([OUTPUT], inputs)[0], dtype=np.float32)
