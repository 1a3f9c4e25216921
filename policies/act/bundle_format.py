"""The files of an exported bundle and how they are read and checked, without torch."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32
from toyshift.core.contract import HISTORY_IS_PAD, MASK_BACKGROUND, MASK_ROBOT, ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError, shown
from toyshift.core.files import read_json
from toyshift.core.proprioception import OPENING, TARGET, proprioception
from toyshift.policies.act.proposals import EMPTY
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.checkpoints import CONTRACT_FILE, file_hash
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import SENTENCE_SIZE

FORMAT = "toyshift-bundle-2"
READ = ("toyshift-bundle-1", FORMAT)  # what this version reads
MODEL_FILE, GOLDEN_FILE, BUNDLE_FILE = "policy.onnx", "golden.npz", "bundle.json"
CARD_FILE, SENTENCES_FILE = "README.md", "instructions.npz"
OUTPUT = "actions"
# what a policy gives of every observation, and one that looks at several takes back
HISTORY, FEATURES = "history", "features"
# what a policy with proposals takes and gives, so that it need not try one again
TRIED, PROPOSAL = "tried", "proposal"
BASE_FRAME = "robot_base: x forward, y left, z up; the table's surface at z = 0"
LEAST_FOCAL = 0.1  # of an image's larger side: shorter focal lengths are not in pixels
TOLERANCE = 1e-5  # largest difference of a physical action (m, rad, 1) between torch and onnxruntime


def described(shape: list[Any], dtype: str, units: Any, meaning: str, **more: Any) -> dict[str, Any]:
    """Returns what contract.json says about an input or output."""
    return {"shape": shape, "dtype": dtype, "units": units, "meaning": meaning, **more}


def _state_entries(names: Sequence[str], joints: tuple[str, ...]) -> dict[str, list[Any]]:
    """Returns the unit and range of every entry of a state; None where this project does not name the entry."""
    parts = {name: part for part in (*proprioception(joints), *TARGET) for name in part.names}
    known = [parts.get(name) for name in names]
    return {
        "units": [part and part.unit for part in known],
        "range": [part and [part.low, part.high] for part in known],
    }


def input_table(
    observation: ObservationContract, config: PolicyConfig, action: ActionContract, features: int
) -> dict[str, dict[str, Any]]:
    """Describes the network's inputs, in their order: name -> shape, dtype, units, meaning, range and frame.

    A range is [least, largest], of the state one for each entry; null where nothing bounds the values.

    Args:
        observation: the cameras and the state.
        config: of the policy.
        action: what actions mean.
        features: F, of one observation; used for a policy with a history.
    """
    sizes = dict(observation.cameras)
    cameras = config.cameras or observation.camera_names
    table: dict[str, dict[str, Any]] = {}
    for camera in cameras if config.needs_images else ():
        meaning, frame = f"sRGB image of camera {camera}, rows from the top", f"pixels of camera {camera}"
        bounds = {"range": [0, 255], "frame": frame}
        table[f"image.{camera}"] = described(["batch", *sizes[camera], 3], "uint8", "0..255", meaning, **bounds)
    for camera in cameras if config.needs_masks else ():
        meaning = "0 background, 1 target, 2 other object, 3 robot"
        bounds = {"range": [MASK_BACKGROUND, MASK_ROBOT], "frame": f"pixels of camera {camera}"}
        table[f"mask.{camera}"] = described(["batch", *sizes[camera]], "uint8", "label", meaning, **bounds)
    names = observation.state_seen(config.privileged)
    meaning = "proprioception" + ", then the target's pose" * config.privileged
    entries = _state_entries(names, action.joint_names)
    told: dict[str, Any] = {"names": list(names), "range": entries["range"], "frame": BASE_FRAME}
    table["state"] = described(["batch", len(names)], "float32", entries["units"], meaning, **told)
    unbounded: dict[str, Any] = {"range": None, "frame": None}
    if config.tabled and not config.latent:
        meaning = "number of the instruction in names"
        told = {"names": list(config.vocabulary), "range": [0, len(config.vocabulary) - 1], "frame": None}
        table[INSTRUCTION] = described(["batch"], "int64", "row", meaning, **told)
    elif config.told == "minilm":
        meaning = "sentence embedding by all-MiniLM-L6-v2, of length 1"
        told = {"range": [-1, 1], "frame": None}
        table[INSTRUCTION] = described(["batch", SENTENCE_SIZE], "float32", "1", meaning, **told)
    if config.steps_seen > 1:
        before = config.steps_seen - 1
        meaning = (
            f"outputs `{FEATURES}` of the observations before this one, {config.execute} control steps apart, "
            "the oldest first; zeros where there were none"
        )
        table[HISTORY] = described(["batch", before, features], "float32", "1", meaning, **unbounded)
        meaning = "true where there was no observation yet"
        table[HISTORY_IS_PAD] = described(["batch", before], "bool", "1", meaning, **unbounded)
    if config.proposals:
        meaning = (
            f"true for the outputs `{PROPOSAL}` of this episode after which the hand closed on nothing ({OPENING} was "
            f"above {EMPTY:g} at one observation and not at the next); none at the start, and none again after all"
        )
        table[TRIED] = described(["batch", config.proposals], "bool", "1", meaning, **unbounded)
    if config.needs_noise:
        meaning = "standard normal numbers that the prediction starts from"
        table["noise"] = described(["batch", config.chunk, action.size], "float32", "1", meaning, **unbounded)
    return table


def check_bundle(folder: Path) -> dict[str, Any]:
    """Checks that a bundle is whole and unchanged, and returns its contract.json.

    Raises:
        FileError: a file is missing, or its SHA-256 is not the one in bundle.json.
        ContractError: contract.json disagrees with itself.
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
    found = recorded.get("format") if isinstance(recorded, dict) else None
    if found not in READ:
        newer = str(found).startswith("toyshift-bundle-")
        remedy = f"install the toyshift that wrote it, or a newer one; or {again}" if newer else again
        told = f"{folder / BUNDLE_FILE} is of format {shown(found)}, this version reads {' and '.join(READ)}"
        raise FileError(f"{told}; {remedy}")
    hashes = recorded.get("sha256")
    listed = hashes if isinstance(hashes, dict) else {}
    for name in dict.fromkeys((MODEL_FILE, CONTRACT_FILE, GOLDEN_FILE, *sorted(listed))):
        if Path(name).name != name:
            raise FileError(f"{folder / BUNDLE_FILE} lists {name!r}, which lies outside the bundle; {again}")
        if not (folder / name).is_file():
            raise FileError(f"{folder / name} is missing; {again}")
        if listed.get(name) != file_hash(folder / name):
            what = f"was changed after the export (its SHA-256 is not the one in {BUNDLE_FILE})"
            raise FileError(f"{folder / name} {what}; {again}")
    contract: dict[str, Any] = read_json(folder / CONTRACT_FILE)
    if not isinstance(contract, dict):
        raise FileError(f"{folder / CONTRACT_FILE} is no contract of a bundle: {shown(contract)}; {again}")
    if contract.get("format") != found:
        told = f"{folder / CONTRACT_FILE} is of format {contract.get('format')}, {BUNDLE_FILE} says {found}"
        raise FileError(f"{told}; {again}")
    check_contract(contract, str(folder / CONTRACT_FILE))
    return contract


def full_contract(folder: Path) -> dict[str, Any]:
    """Returns the contract.json of a bundle that tells the arm, and how every camera it sees images.

    Raises:
        FileError, ContractError: as `check_bundle`.
        ConfigError: names what the bundle does not tell, and the command that makes one that does.
    """
    contract = check_bundle(folder)
    sees, told = contract["observation"]["cameras"], contract.get("cameras") or {}
    lacks = [] if contract.get("arm") else ["arm"]
    lacks += [f"intrinsics of camera {camera}" for camera in sees if "intrinsics" not in told.get(camera, {})]
    if lacks:
        again = f"toyshift export POLICY --out {folder} --data DEMOS"
        raise ConfigError(f"{folder} does not tell: {', '.join(lacks)}; export it with its demonstrations: `{again}`")
    return contract


def check_contract(contract: dict[str, Any], where: str) -> None:
    """Refuses a contract.json whose parts disagree: what is said twice must be said alike.

    Raises:
        ContractError: names the part, and both values.
    """
    faults: list[str] = []
    try:
        action = ActionContract.from_json(contract["action"])
        observation = ObservationContract.from_json(contract["observation"])
        config = PolicyConfig.from_json(contract["policy"])
        features = int(contract["outputs"].get(FEATURES, {"shape": [0]})["shape"][-1])
        inputs, outputs = contract["inputs"], contract["outputs"]
        pairs: list[tuple[str, Any, Any]] = [
            ("control_hz", contract["control_hz"], action.control_hz), ("execute", contract["execute"], config.execute),
            ("shape of the actions", outputs[OUTPUT]["shape"], ["batch", config.chunk, action.size]),
            ("units of the actions", outputs[OUTPUT]["units"], list(action.units)),
        ]  # fmt: skip
        table = input_table(observation, config, action, features)
        pairs.append(("names of the inputs", sorted(inputs), sorted(table)))
        keys: tuple[str, ...] = ("shape", "dtype", "names")
        if contract["format"] == FORMAT:
            keys += ("units", "range", "frame")
            told = outputs[OUTPUT]
            pairs.append(("range of the actions", told["range"], [list(action.low), list(action.high)]))
            pairs.append(("frame of the actions", told["frame"], action.frame))
        for name in inputs.keys() & table.keys():
            ours, theirs = inputs[name], table[name]
            pairs += [(f"{key} of {name}", ours.get(key), theirs.get(key)) for key in keys]
        if contract.get("arm"):
            names = [joint["name"] for joint in contract["arm"]["joints"]]
            pairs.append(("joints of the arm", names, list(action.joint_names)))
        sizes = {camera: list(size) for camera, size in observation.cameras}
        for camera, facts in (contract.get("cameras") or {}).items():
            pairs.append((f"size of camera {camera}", facts["size"], sizes.get(camera)))
            faults.append(_camera_fault(camera, facts))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ContractError(f"{where} is no contract of a bundle: {error!r}") from error
    for what, said, other in pairs:
        if said != other:
            raise ContractError(f"{where} disagrees with itself: {what} is {said} in one place, {other} in another")
    for fault in filter(None, faults):
        raise ContractError(f"{where}: {fault}")


def _camera_fault(camera: str, facts: Mapping[str, Any]) -> str:
    """Says why what is told of a camera is that of no pinhole that stands somewhere; "" where it is."""
    if "intrinsics" in facts:
        matrix, (height, width) = np.asarray(facts["intrinsics"], np.float64), facts["size"]
        (fx, _, cx), (_, fy, cy), last = matrix.tolist()
        pixels = LEAST_FOCAL * max(height, width) < min(fx, fy) and max(fx, fy) < np.inf
        if last != [0, 0, 1] or not (pixels and 0 < cx < width and 0 < cy < height):
            return f"intrinsics of camera {camera} are {matrix.tolist()}: no pinhole's, in pixels of {height} x {width}"
    if "extrinsics" in facts:
        pose = np.asarray(facts["extrinsics"], np.float64)
        turn, there = pose[:3, :3], np.asarray(facts["position"], np.float64)
        if not (np.allclose(turn @ turn.T, np.eye(3), atol=1e-6) and np.linalg.det(turn) > 0):
            return f"extrinsics of camera {camera} hold no rotation: {turn.tolist()}"
        place = -turn.T @ pose[:3, 3]
        if not np.allclose(place, there, atol=1e-6):
            return f"camera {camera} stands at {place.tolist()} by its extrinsics, at {there.tolist()} by its position"
    return ""


def read_golden(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.float32]]]:
    """Reads the golden inputs by name, and the outputs that belong to them.

    Outputs are actions (cases, K, A), features (cases, F), and the proposal (cases,) where there are several; in format
    1, features of policies with a history only.

    Raises:
        FileError: the file is damaged or holds Python objects.
    """
    arrays = read_arrays(Path(folder) / GOLDEN_FILE)
    kinds = ("in:", "out:")
    inputs, outputs = ({k.removeprefix(kind): v for k, v in arrays.items() if k.startswith(kind)} for kind in kinds)
    return inputs, outputs


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads one of a bundle's NPZ files.

    Raises:
        FileError: the file is damaged or holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read {path} ({error}); export the policy again") from error


def read_sentences(folder: Path) -> dict[str, Float32]:
    """Returns the instructions whose embeddings (384,) a bundle holds; {} where it holds none."""
    path = Path(folder) / SENTENCES_FILE
    if not path.is_file():
        return {}
    arrays = read_arrays(path)
    return dict(zip(map(str, arrays["sentences"]), arrays["embeddings"], strict=True))


def open_session(folder: Path, threads: int = 1) -> Any:
    """Opens the network in onnxruntime on the CPU.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
        FileError: onnxruntime cannot read the network.
    """
    try:
        import onnxruntime
    except ImportError as error:
        more = "or `pip install 'toyshift[export]'` to write bundles too"
        raise MissingDependencyError(f"onnxruntime is missing; run `pip install onnxruntime`, {more}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    path = Path(folder) / MODEL_FILE
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common public base
        raise FileError(f"onnxruntime cannot open {path}: {error}") from error
