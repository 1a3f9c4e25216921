"""Checkpoints that are whole or absent: safetensors and JSON with hashes, never a pickle.

A trained folder holds config.json (policy and training), contract.json (action and observation contract), state.json
(step, finished, and the SHA-256 of both and of each weight file) and the weight files that state.json names. state.json
is written last, so it always describes a complete set: a kill between two files leaves the previous set in force.
While training runs, the set lies in checkpoint-<step>/; a finished run has it at the top.

`read_state` checks the hashes of config.json, contract.json and of state.json's own content, `load_tensors` that of the
weights: who opens a policy has all four as they were written. The hashes tell accidents, not forgers, who can write new
ones. Folders of earlier versions list their weights only: they open, and whether their config.json and contract.json
are those of the training nobody knows; the next state.json that is written binds them as they then are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError, with_remedy
from toyshift.core.files import atomic_dir, atomic_path, json_hash, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.runs import differences, refuse_other
from toyshift.policies.config import PolicyConfig
from toyshift.policies.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

STATE_FILE, CONFIG_FILE, CONTRACT_FILE = "state.json", "config.json", "contract.json"
MODEL, EMA, BEST, OPTIMIZER = "model.safetensors", "ema.safetensors", "best.safetensors", "optimizer.safetensors"
REPAIR = "repair.safetensors"  # what repairs of the training keep beside the policy
DESCRIPTIONS = (CONFIG_FILE, CONTRACT_FILE)
RESTORE = "restore it from a copy, or delete the folder and train again"
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
        raise FileError(f"cannot read {path} ({error}); put it back, or make it readable") from error


def _read(path: Path) -> Any:
    """Returns what a JSON file of a policy folder holds; training writes it once, so another run does not mend it."""
    try:
        return read_json(path)
    except FileError as error:
        what = f"is not valid JSON ({error.__cause__})" if path.is_file() else "is missing"
        raise FileError(f"{path} {what}; {RESTORE}") from error


def _require_unchanged(folder: Path, entry: dict[str, str]) -> None:
    """Raises FileError where a file is not the one that state.json lists."""
    path = folder / entry["path"]
    if not path.is_file():
        raise FileError(f"{path} is missing; {RESTORE}")
    if file_hash(path) != entry["sha256"]:
        what = f"is not the file that {STATE_FILE} describes (SHA-256 differs): it is truncated or was changed"
        raise FileError(f"{path} {what}; {RESTORE}")


def write_contracts(folder: Path, action: ActionContract, observation: ObservationContract) -> None:
    """Writes contract.json."""
    write_json(folder / CONTRACT_FILE, {"action": action.to_json(), "observation": observation.to_json()})


def read_contracts(folder: Path) -> tuple[ActionContract, ObservationContract]:
    """Reads contract.json."""
    path = folder / CONTRACT_FILE
    value = _read(path)
    if not isinstance(value, dict) or not {"action", "observation"} <= set(value):
        raise FileError(f"{path} holds no action and observation contract; {RESTORE}")
    try:
        return ActionContract.from_json(value["action"]), ObservationContract.from_json(value["observation"])
    except ContractError as error:
        raise ContractError(f"{path}: {error}; {RESTORE}") from error


def read_policy_config(folder: Path) -> PolicyConfig:
    """Reads what a policy is made of from config.json.

    Raises:
        FileError: the file is missing, damaged, or names no policy.
    """
    path = folder / CONFIG_FILE
    value = _read(path)
    if not isinstance(value, dict) or not isinstance(value.get("policy"), dict):
        raise FileError(f"{path} describes no policy; {RESTORE}")
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
    stored = _read(path)
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
        told = f"cannot write {path} ({error}); the last checkpoint is kept"
        raise FileError(with_remedy(told, error)) from error


def _bound(folder: Path) -> dict[str, dict[str, str]]:
    """Returns the entries of config.json and contract.json: as the state in force has them, else as they are now."""
    known = _read(folder / STATE_FILE)["files"] if (folder / STATE_FILE).exists() else {}
    return {
        name: known.get(name) or {"path": name, "sha256": file_hash(folder / name)} for name in DESCRIPTIONS
    }


def _write_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes state.json with a hash of its content, and those of config.json and contract.json where it has none."""
    state = {name: value for name, value in state.items() if name != "hash"}
    state["files"] = _bound(folder) | state["files"]
    write_json(folder / STATE_FILE, state | {"hash": json_hash(state)})


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
    _write_state(folder, {"step": step, "finished": finished, "files": listed, **extra})
    for old in folder.glob("checkpoint-*"):
        if re.fullmatch(r"checkpoint-\d{8}", old.name) and (finished or old.name != f"checkpoint-{step:08d}"):
            shutil.rmtree(old, ignore_errors=True)


def kept_folder(folder: Path, step: int) -> Path:
    """Returns where a run keeps its weights of a step."""
    return folder / f"at-{step:08d}"


def keep_weights(folder: Path, step: int, files: dict[str, Tensors]) -> None:
    """Writes a policy folder with a run's weights of a step; arguments as of `save_checkpoint`."""
    with atomic_dir(kept_folder(folder, step)) as temporary:
        for name, entry in _bound(folder).items():
            _require_unchanged(folder, entry)
            shutil.copy(folder / name, temporary / name)
        save_checkpoint(temporary, step, files, True, {"kept": True})


def read_state(folder: Path) -> dict[str, Any]:
    """Reads state.json of a trained or half-trained folder.

    Raises:
        FileError: there is none, the folder holds pickled weights instead, or state.json, config.json or contract.json
            was changed.
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
    state = _read(folder / STATE_FILE)
    whole = isinstance(state, dict) and {"step", "finished", "files"} <= set(state) and isinstance(state["files"], dict)
    entries = state["files"].values() if whole else [None]
    if not all(isinstance(entry, dict) and {"path", "sha256"} <= set(entry) for entry in entries):
        raise FileError(f"{folder / STATE_FILE} is not the state of a training run; {RESTORE}")
    bound = [name for name in DESCRIPTIONS if name in state["files"]]
    if "hash" in state or bound:
        rest = {name: value for name, value in state.items() if name != "hash"}
        if len(bound) < len(DESCRIPTIONS) or state.get("hash") != json_hash(rest):
            raise FileError(f"{folder / STATE_FILE} was changed (its hash is not that of its content); {RESTORE}")
        for name in bound:
            _require_unchanged(folder, state["files"][name])
    return dict(state)


def weights_to_act(state: dict[str, Any]) -> str:
    """Returns the name of the weights that act: the best if chosen, else the averaged ones if there are any."""
    if state.get("act") == "best":
        return BEST
    return EMA if EMA in state["files"] else MODEL


def chosen_weights(folder: Path, state: dict[str, Any]) -> str:
    """Returns the name of the weights that act where the training was told others; "" where nothing else was chosen."""
    trained = _read(folder / CONFIG_FILE).get("train", {}).get("act", "last")
    return weights_to_act(state) if state.get("act", trained) != trained else ""


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
        _write_state(folder, state)
    return state


def check_weights(folder: Path, state: dict[str, Any], name: str) -> Path:
    """Returns the path of one weight file of the set in force, after checking its hash.

    Raises:
        FileError: the file is missing, truncated or changed.
    """
    entry = state["files"].get(name)
    if entry is None:
        raise FileError(f"{folder / STATE_FILE} lists no {name}; {RESTORE}")
    _require_unchanged(folder, entry)
    return Path(folder / entry["path"])


def load_tensors(folder: Path, state: dict[str, Any], name: str) -> Tensors:
    """Reads one weight file of the set in force; errors as of `check_weights`."""
    from safetensors.torch import load_file

    tensors: Tensors = load_file(str(check_weights(folder, state, name)))
    return tensors
