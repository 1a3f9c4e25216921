"""What result files say about how their rows were played: those of evaluations, of the command, and of benchmarks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import FileError
from toyshift.scripts import evaluate

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, Row

HERE = ("workers", "ray", "json", "out")  # options of `toyshift evaluate` that decide no row


@dataclasses.dataclass(frozen=True)
class RowOrigin:
    """How a row was played.

    Attributes:
        config: the evaluation; its policy is where it was then.
        policy_hash: of the policy's content; "" where the file does not say.
        objects_hash: of the objects'; "" likewise.
    """

    config: EvaluateConfig
    policy_hash: str
    objects_hash: str


def origin_of(path: Path, manifest: Mapping[str, Any], number: int, row: Row) -> RowOrigin:
    """Returns how a row was played.

    Args:
        path: its file.
        manifest: of the file.
        number: which row of the file, from 0.
        row: itself.

    Raises:
        FileError: the file does not say, was edited, or is of another protocol.
    """
    from toyshift.diagnostics.bench.result_file import KEY
    from toyshift.diagnostics.evaluation import POLICY_HASH, PROTOCOL
    from toyshift.diagnostics.replaying import evaluation_of

    said, options = manifest.get(KEY) or manifest, manifest.get("config") or {}
    if "protocol" in said and said["protocol"] != PROTOCOL:
        told = f"{path} holds rows of protocol {said['protocol']}, and this version of ToyShift plays"
        raise FileError(f"{told} protocol {PROTOCOL}: starts are others; install the version that made them")
    if KEY in manifest:
        return _of_benchmark(path, manifest, number)
    if "run_key" in manifest and "policy" in options:  # one policy, one set, one condition
        config = evaluation_of(options, str(path))
        found = RowOrigin(config, str(manifest.get(POLICY_HASH, "")), str(manifest.get("objects_hash", "")))
    elif "protocol" in manifest and isinstance(options.get("policy"), list | tuple):
        config = _of_command(path, options, row)
        hashes = manifest.get(POLICY_HASH, {}), manifest.get("objects_hash", {})
        found = RowOrigin(config, str(hashes[0].get(row.policy, "")), str(hashes[1].get(row.object_set, "")))
    else:
        known = "those of `toyshift evaluate` (rows.parquet, each file in rows/ beside it) and of `toyshift bench` do"
        raise FileError(f"{path} does not say how its rows were played; {known}")
    if differing := _differing(found.config, row):
        raise FileError(f"{path}: row {number} is not of what the file says it is of: {', '.join(differing)}")
    return found


def _of_command(path: Path, options: Mapping[str, Any], row: Row) -> EvaluateConfig:
    """Returns what `toyshift evaluate` made of its options for a row."""
    from toyshift.core.errors import ToyShiftError

    if options.get("swapped"):
        raise FileError(f"{path} holds the cells of --swapped; replay a file of rows/ beside it, which says its cell")
    fields = {field.name for field in dataclasses.fields(evaluate.Config)}
    if unknown := sorted(set(options) - fields):
        raise FileError(f"{path} was made with {', '.join(unknown)}, which this version of ToyShift does not know")
    plain = {name: value for name, value in options.items() if name not in HERE}
    given: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()}
    try:
        cfg = evaluate.Config(**given)
    except (ToyShiftError, TypeError) as error:
        raise FileError(f"{path}: its manifest does not say how it was made ({error})") from error
    references = () if cfg.no_references or cfg.compares else evaluate.REFERENCES
    names = evaluate.row_names(dict.fromkeys([*cfg.policy, *references]))
    asked = [evaluate.asked_of(cfg, policy, plain, row.object_set, row.shift) for policy, plain in names.items()]
    found = [one for one in asked if one.name == row.policy]
    if not found:
        raise FileError(f"{path} was made of the policies {', '.join(names.values())}, and none is {row.policy}")
    return found[0]


def _of_benchmark(path: Path, manifest: Mapping[str, Any], number: int) -> RowOrigin:
    """Returns how a row of a benchmark's result was played."""
    from toyshift.diagnostics.bench.playing import configs_of
    from toyshift.diagnostics.bench.result_file import read_result
    from toyshift.policies.remote.options import RemoteOptions

    result = read_result(path)
    options = manifest.get("config") or {}
    asked = {name: options[f"remote_{name}"] for name in ("keys", "actions") if f"remote_{name}" in options}
    remote = RemoteOptions(
        **asked, execute=int(options.get("remote_execute", 0)), timeout=float(options.get("remote_timeout", 120)),
        lerobot_python=options.get("lerobot_python", ""),
    )  # fmt: skip
    facts = result.facts
    policy = str(options.get("policy", facts.policy))
    configs = configs_of(result.version, policy, facts.policy, facts.masks, remote)
    parts = [i for i, part in enumerate(result.version.parts) for _ in range(part.episodes)]
    return RowOrigin(configs[parts[number]], facts.fingerprint, "")


def _differing(config: EvaluateConfig, row: Row) -> list[str]:
    """Returns in what a row is of another evaluation, in words."""
    said = {
        "objects": (row.object_set, config.objects), "seed": (row.seed, config.seed),
        "shift": (row.shift, config.shift), "look": (row.look, config.look_label),
        "scene": (row.scene, config.env.scene), "purpose": (row.purpose, config.purpose),
    }  # fmt: skip
    return [f"{name} {there!r} beside {own!r}" for name, (there, own) in said.items() if there != own]
