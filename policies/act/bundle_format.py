"""The files of an exported bundle and how they are read and checked, without torch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import HISTORY_IS_PAD, ObservationContract
from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.core.files import read_json
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.checkpoints import CONTRACT_FILE, file_hash
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import SENTENCE_SIZE

FORMAT = "toyshift-bundle-1"
MODEL_FILE, GOLDEN_FILE, BUNDLE_FILE = "policy.onnx", "golden.npz", "bundle.json"
OUTPUT = "actions"
# of a policy that looks at several observations: what it takes back, and what it gives
HISTORY, FEATURES = "history", "features"
TOLERANCE = 1e-5  # largest difference of a physical action (m, rad, 1) between torch and onnxruntime


def described(shape: list[Any], dtype: str, units: Any, meaning: str, **more: Any) -> dict[str, Any]:
    """Returns what contract.json says about an input or output."""
    return {"shape": shape, "dtype": dtype, "units": units, "meaning": meaning, **more}


def input_table(
    observation: ObservationContract, config: PolicyConfig, action_size: int, features: int
) -> dict[str, dict[str, Any]]:
    """Describes the network's inputs, in their order: name -> shape, dtype, units and meaning.

    Args:
        observation: the cameras and the state.
        config: of the policy.
        action_size: A.
        features: F, of one observation; used for a policy with a history.
    """
    sizes = dict(observation.cameras)
    cameras = config.cameras or observation.camera_names
    table: dict[str, dict[str, Any]] = {}
    for camera in cameras if config.needs_images else ():
        meaning = f"sRGB image of camera {camera}, rows from the top"
        table[f"image.{camera}"] = described(["batch", *sizes[camera], 3], "uint8", "0..255", meaning)
    for camera in cameras if config.needs_masks else ():
        meaning = "0 background, 1 target, 2 other object, 3 robot"
        table[f"mask.{camera}"] = described(["batch", *sizes[camera]], "uint8", "label", meaning)
    names = observation.state_seen(config.privileged)
    meaning = "proprioception" + ", then the target's pose" * config.privileged
    units = "m and rad, as the names say"
    table["state"] = described(["batch", len(names)], "float32", units, meaning, names=list(names))
    if config.instruction == "table":
        meaning = "number of the instruction in names"
        table[INSTRUCTION] = described(["batch"], "int64", "row", meaning, names=list(config.vocabulary))
    elif config.instruction == "minilm":
        meaning = "sentence embedding by all-MiniLM-L6-v2, of length 1"
        table[INSTRUCTION] = described(["batch", SENTENCE_SIZE], "float32", "1", meaning)
    if config.steps_seen > 1:
        before = config.steps_seen - 1
        meaning = (
            f"outputs `{FEATURES}` of the observations before this one, {config.execute} control steps apart, "
            "the oldest first; zeros where there were none"
        )
        table[HISTORY] = described(["batch", before, features], "float32", "1", meaning)
        meaning = "true where there was no observation yet"
        table[HISTORY_IS_PAD] = described(["batch", before], "bool", "1", meaning)
    if config.needs_noise:
        meaning = "standard normal numbers that the prediction starts from"
        table["noise"] = described(["batch", config.chunk, action_size], "float32", "1", meaning)
    return table


def check_bundle(folder: Path) -> dict[str, Any]:
    """Checks that a bundle is whole and unchanged, and returns its contract.json.

    Raises:
        FileError: a file is missing, or its SHA-256 is not the one in bundle.json.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder; a bundle is a folder written by `toyshift export`")
    if not (folder / BUNDLE_FILE).is_file():
        raise FileError(
            f"{folder} is no bundle: it holds no {BUNDLE_FILE}; `toyshift export POLICY --out {folder}` makes one"
        )
    again = f"restore it from a copy, or export again: `toyshift export POLICY --out {folder}`"
    recorded = read_json(folder / BUNDLE_FILE, again)  # without that file, the folder would not be replaced by export
    if not isinstance(recorded, dict) or recorded.get("format") != FORMAT:
        raise FileError(f"{folder / BUNDLE_FILE} is not of format {FORMAT}, which this version reads; {again}")
    hashes = recorded.get("sha256")
    for name in (MODEL_FILE, CONTRACT_FILE, GOLDEN_FILE):
        if not (folder / name).is_file():
            raise FileError(f"{folder / name} is missing; {again}")
        if not isinstance(hashes, dict) or hashes.get(name) != file_hash(folder / name):
            what = f"was changed after the export (its SHA-256 is not the one in {BUNDLE_FILE})"
            raise FileError(f"{folder / name} {what}; {again}")
    contract: dict[str, Any] = read_json(folder / CONTRACT_FILE)
    return contract


def read_golden(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Reads the golden inputs by name, and the outputs that belong to them.

    Outputs are actions (cases, K, A), and with a history features (cases, F).

    Raises:
        FileError: the file is damaged or holds Python objects.
    """
    path = Path(folder) / GOLDEN_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs = {k.removeprefix("in:"): arrays[k] for k in arrays.files if k.startswith("in:")}
            return inputs, {k.removeprefix("out:"): arrays[k] for k in arrays.files if k.startswith("out:")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read {path} ({error}); export the policy again") from error


def open_session(folder: Path, threads: int = 1) -> Any:
    """Opens the network in onnxruntime on the CPU.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        FileError: onnxruntime cannot read the network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError("onnxruntime is missing; run `pip install onnxruntime`") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    path = Path(folder) / MODEL_FILE
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common public base
        raise FileError(f"onnxruntime cannot open {path}: {error}") from error
