"""Checkpoints that are whole or absent: safetensors and JSON with hashes, never a pickle.

A trained folder holds config.json (policy and training), contract.json (action and observation contract), state.json
(step, finished, and the SHA-256 of each weight file) and the weight files that state.json names. state.json is
written last, so it always describes a complete set: a kill between two files leaves the previous set in force.
While training runs, the set lies in checkpoint-<step>/; a finished run has it at the top.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.core.files import atomic_dir, atomic_path, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.runs import differences, refuse_other
from toyshift.policies.config import PolicyConfig
from toyshift.policies.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

STATE_FILE, CONFIG_FILE, CONTRACT_FILE = "state.json", "config.json", "contract.json"
MODEL, EMA, BEST, OPTIMIZER = "model.safetensors", "ema.safetensors", "best.safetensors", "optimizer.safetensors"
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin")

Tensors = dict[str, "Tensor"]


def file_hash(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes as hex digits.

    Raises:
        FileError: the file cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FileError(
            f"cannot read {path} ({error}); the folder is incomplete: run the command that made it again"
        ) from error


def write_contracts(folder: Path, action: ActionContract, observation: ObservationContract) -> None:
    """Writes contract.json."""
    write_json(folder / CONTRACT_FILE, {"action": action.to_json(), "observation": observation.to_json()})


def read_contracts(folder: Path) -> tuple[ActionContract, ObservationContract]:
    """Reads contract.json."""
    value = read_json(folder / CONTRACT_FILE)
    if not isinstance(value, dict) or not {"action", "observation"} <= set(value):
        raise FileError(f"{folder / CONTRACT_FILE} holds no action and observation contract")
    try:
        return ActionContract.from_json(value["action"]), ObservationContract.from_json(value["observation"])
    except ContractError as error:
        path = folder / CONTRACT_FILE
        raise ContractError(f"{path}: {error}; restore it from a copy, or make the folder again") from error


def read_policy_config(folder: Path) -> PolicyConfig:
    """Reads what a policy is made of from config.json.

    Raises:
        FileError: the file is missing, damaged, or names no policy.
    """
    path = folder / CONFIG_FILE
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get("policy"), dict):
        raise FileError(f"{path} describes no policy; restore it from a copy, or delete the folder and train again")
    return PolicyConfig.from_json(value["policy"])


def write_config(folder: Path, section: str, config: Any, policy: PolicyConfig, **facts: Any) -> None:
    """Writes config.json.

    Args:
        folder: the run's folder.
        section: "train" or "rl", the kind of training.
        config: its settings.
        policy: what the policy is made of.
        facts: JSON-able, for readers.
    """
    settings = config.to_json()
    policy_facts = {"policy": policy.to_json(), "mask_use": policy.mask_use}
    made = {"manifest": manifest(settings, config.seed)}
    write_json(folder / CONFIG_FILE, {section: settings, **policy_facts, **facts, **made})


def require_same_run(folder: Path, section: str, config: Settings, made_by: str, but: Collection[str]) -> None:
    """Refuses a folder in which another training ran, or the same one with other settings.

    Args:
        folder: where the run is to go on or begin.
        section: as for `write_config`.
        config: the run's settings.
        made_by: the command that trains, for the error.
        but: names of settings that may differ.

    Raises:
        ConfigError: names the settings that differ.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        return
    stored = read_json(path)
    settings = stored.get(section) if isinstance(stored, dict) else None
    if not isinstance(settings, dict):
        raise ConfigError(f"{folder} holds a policy that was not trained by `{made_by}`; choose another out folder")
    if different := differences(config.to_json(), type(config).from_json(settings).to_json(), but):
        raise refuse_other(folder, "a run", different)


def _save(path: Path, tensors: Tensors) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with atomic_path(path) as temporary:
            save_file({k: v.detach().contiguous().cpu() for k, v in tensors.items()}, str(temporary))
    except SafetensorError as error:  # not an OSError, on a full disk either
        raise FileError(
            f"cannot write {path} ({error}); make room and run the same command again: "
            "it goes on from the last checkpoint"
        ) from error


def save_checkpoint(folder: Path, step: int, files: dict[str, Tensors], finished: bool, extra: dict[str, Any]) -> None:
    """Writes a complete set of weights and then the state.json that makes it the one in force.

    Args:
        folder: the run's folder.
        step: optimiser steps done.
        files: file name -> tensors by name.
        finished: whether the run is complete; the set then goes to the top of the folder.
        extra: JSON-able facts kept in state.json.
    """
    if finished:
        names = {name: name for name in files}
        for name, tensors in files.items():
            _save(folder / name, tensors)
    else:
        place = f"checkpoint-{step:08d}"
        names = {name: f"{place}/{name}" for name in files}
        with atomic_dir(folder / place) as temporary:
            for name, tensors in files.items():
                _save(temporary / name, tensors)
    listed = {name: {"path": path, "sha256": file_hash(folder / path)} for name, path in names.items()}
    write_json(folder / STATE_FILE, {"step": step, "finished": finished, "files": listed, **extra})
    for old in folder.glob("checkpoint-*"):
        if re.fullmatch(r"checkpoint-\d{8}", old.name) and (finished or old.name != f"checkpoint-{step:08d}"):
            shutil.rmtree(old, ignore_errors=True)


def kept_folder(folder: Path, step: int) -> Path:
    """Returns where a run keeps its weights of a step."""
    return folder / f"at-{step:08d}"


def keep_weights(folder: Path, step: int, files: dict[str, Tensors]) -> None:
    """Writes a policy folder with a run's weights of a step; arguments as of `save_checkpoint`."""
    with atomic_dir(kept_folder(folder, step)) as temporary:
        for name in (CONFIG_FILE, CONTRACT_FILE):
            shutil.copy(folder / name, temporary / name)
        save_checkpoint(temporary, step, files, True, {"kept": True})


def read_state(folder: Path) -> dict[str, Any]:
    """Reads state.json of a trained or half-trained folder.

    Raises:
        FileError: there is none, or the folder holds pickled weights instead.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder; a trained policy is a folder written by `toyshift train`")
    if not (folder / STATE_FILE).is_file():
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        if pickles:
            raise FileError(
                f"{folder} holds {pickles[0]}: pickled weights can run code and are never read; only safetensors are"
            )
        raise FileError(
            f"{folder} holds no {STATE_FILE}: no policy was trained here, or its first checkpoint was not reached; "
            "run `toyshift train`"
        )
    state = read_json(folder / STATE_FILE)
    whole = isinstance(state, dict) and {"step", "finished", "files"} <= set(state) and isinstance(state["files"], dict)
    entries = state["files"].values() if whole else [None]
    if not all(isinstance(entry, dict) and {"path", "sha256"} <= set(entry) for entry in entries):
        raise FileError(
            f"{folder / STATE_FILE} is not the state of a training run; "
            "restore it from a copy, or delete the folder and train again"
        )
    return dict(state)


def weights_to_act(state: dict[str, Any]) -> str:
    """Returns the name of the weights that act: the best if chosen, else the averaged ones if there are any."""
    if state.get("act") == "best":
        return BEST
    return EMA if EMA in state["files"] else MODEL


def choose_weights(folder: Path, act: str) -> dict[str, Any]:
    """Makes the last or the best weights of a finished folder those that act, and returns its state.

    Raises:
        ConfigError: the best are wanted and there are none.
    """
    state = read_state(folder)
    if act == "best" and BEST not in state["files"]:
        raise ConfigError(
            f"{folder} has no best weights: "
            "it was trained without held-out episodes (--validation 0, or too few episodes)"
        )
    if state.get("act", "last") != act:
        state["act"] = act
        write_json(folder / STATE_FILE, state)
    return state


def load_tensors(folder: Path, state: dict[str, Any], name: str) -> Tensors:
    """Reads one weight file of the set in force, after checking its hash.

    Raises:
        FileError: the file is missing, truncated or changed.
    """
    from safetensors.torch import load_file

    entry = state["files"].get(name)
    if entry is None:
        raise FileError(f"{folder / STATE_FILE} lists no {name}")
    path = folder / entry["path"]
    if file_hash(path) != entry["sha256"]:
        raise FileError(
            f"{path} is not the file that {STATE_FILE} describes (SHA-256 differs): it is truncated or was changed; "
            "restore it, or delete the folder and train again"
        )
    tensors: Tensors = load_file(str(path))
    return tensors
