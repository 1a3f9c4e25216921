"""The files of an exported bundle and how they are read and checked, without torch."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ObservationContract
from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.core.files import read_json
from toyshift.policies.checkpoints import CONTRACT_FILE, file_hash
from toyshift.policies.config import NOISE_HEADS, PolicyConfig

FORMAT = "toyshift-bundle-1"
MODEL_FILE, GOLDEN_FILE, BUNDLE_FILE = "policy.onnx", "golden.npz", "bundle.json"
OUTPUT = "actions"
TOLERANCE = 1e-5  # largest difference of a physical action (m, rad, 1) between torch and onnxruntime

__all__ = ["BUNDLE_FILE", "CONTRACT_FILE", "FORMAT", "GOLDEN_FILE", "MODEL_FILE", "OUTPUT", "TOLERANCE", "check_bundle", "input_table", "open_session", "read_golden"]


def input_table(observation: ObservationContract, config: PolicyConfig, action_size: int) -> dict[str, dict[str, Any]]:
    """Describes the network's inputs, in their order: name -> shape, dtype, units and meaning."""
    sizes = dict(observation.cameras)
    cameras = config.cameras or observation.camera_names
    table: dict[str, dict[str, Any]] = {}
    for camera in cameras:
        table[f"image.{camera}"] = {"shape": ["batch", *sizes[camera], 3], "dtype": "uint8", "units": "0..255", "meaning": f"sRGB image of camera {camera}, rows from the top"}
    if config.needs_masks:
        for camera in cameras:
            table[f"mask.{camera}"] = {"shape": ["batch", *sizes[camera]], "dtype": "uint8", "units": "label", "meaning": "0 background, 1 target, 2 other object, 3 robot"}
    table["state"] = {
        "shape": ["batch", len(observation.state_names)], "dtype": "float32", "units": "m and rad, as the names say", "meaning": "proprioception", "names": list(observation.state_names),
    }
    if config.head in NOISE_HEADS:
        table["noise"] = {"shape": ["batch", config.chunk, action_size], "dtype": "float32", "units": "1", "meaning": "standard normal numbers that the prediction starts from"}
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
        raise FileError(f"{folder} is no bundle: it holds no {BUNDLE_FILE}; `toyshift export POLICY --out {folder}` makes one")
    recorded = read_json(folder / BUNDLE_FILE)
    if not isinstance(recorded, dict) or recorded.get("format") != FORMAT:
        raise FileError(f"{folder / BUNDLE_FILE} is not of format {FORMAT}; export the policy again with this version of toyshift")
    hashes = recorded.get("sha256", {})
    for name in (MODEL_FILE, CONTRACT_FILE, GOLDEN_FILE):
        if hashes.get(name) != file_hash(folder / name):
            raise FileError(f"{folder / name} was changed after the export (its SHA-256 is not the one in {BUNDLE_FILE}); the bundle is refused: export again")
    contract: dict[str, Any] = read_json(folder / CONTRACT_FILE)
    return contract


def read_golden(folder: Path) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Reads the golden inputs by name, and the actions (cases, K, A) that belong to them.

    Raises:
        FileError: the file is damaged or holds Python objects.
    """
    path = Path(folder) / GOLDEN_FILE
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs = {k.removeprefix("in:"): arrays[k] for k in arrays.files if k.startswith("in:")}
            return inputs, np.asarray(arrays[f"out:{OUTPUT}"], dtype=np.float32)
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
