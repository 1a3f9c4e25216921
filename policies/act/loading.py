"""A folder becomes an acting policy: trained weights by torch, an exported bundle by onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toyshift.core.errors import FileError
from toyshift.policies import checkpoints

if TYPE_CHECKING:
    from toyshift.policies.act.acting_policy import ActingPolicy


def _is_bundle(folder: Path) -> bool:
    return (folder / "policy.onnx").exists() or (folder / "bundle.json").exists()


def check_policy(folder: Path) -> str:
    """Checks that what would act is what was written: the hashes of configuration, contract and weights, or a bundle's.

    Reads neither torch nor onnxruntime, so that a command can refuse a policy before its work begins.

    Returns:
        name of the weights that act where others were chosen after the training (`train --act`), else "".

    Raises:
        FileError: neither a trained folder nor a bundle, or one of its files is missing or was changed.
    """
    if _is_bundle(folder):
        from toyshift.policies.act.bundle_format import check_bundle

        check_bundle(folder)
        return ""
    state = checkpoints.read_state(folder)
    checkpoints.check_weights(folder, state, checkpoints.weights_to_act(state))
    return checkpoints.chosen_weights(folder, state)


def load_policy(path: str | Path, device: str = "cpu", name: str = "", unfinished: bool = False) -> ActingPolicy:
    """Loads a trained folder (torch) or an exported bundle (onnxruntime, without torch).

    Args:
        path: folder written by `train` or by `export`.
        device: torch device for a trained folder.
        name: name in tables; the folder's name by default.
        unfinished: accept the last checkpoint of a run that is not finished.

    Raises:
        FileError: neither a trained folder nor a bundle, half-written, damaged, or pickled.
        ConfigError: a device that is not there.
    """
    folder = Path(path)
    if folder.suffix in checkpoints.PICKLES:
        raise FileError(
            f"{folder} is a pickled checkpoint, which can run code and is never read; "
            "give a folder written by `toyshift train`"
        )
    name = name or folder.resolve().name
    if _is_bundle(folder):
        from toyshift.policies.act.onnx_policy import OnnxPolicy

        return OnnxPolicy(folder, name)
    from toyshift.policies.act.torch_policy import TorchPolicy
    from toyshift.policies.network.weights import load_network

    return TorchPolicy(name, load_network(folder, unfinished), device)
