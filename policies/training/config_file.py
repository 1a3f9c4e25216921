"""A training's settings from a YAML or JSON file, such as the config.json of a trained folder."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.fields import check_value
from toyshift.policies.config import PolicyConfig
from toyshift.policies.training.config import UNSET, TrainConfig


def read_config_file(path: Path) -> TrainConfig:
    """Reads settings; those that are not in the file keep their defaults, and `data` becomes (UNSET, ...).

    The policy's settings may stand under `policy`, as a trained folder writes them, or beside the others, as on the
    command line.

    Raises:
        FileError: the file is missing, or no YAML or JSON.
        UnknownNameError: a setting that does not exist.
        ConfigError: a value of another kind, or out of range.
    """
    value = _read(path)
    if isinstance(value.get("train"), dict):  # the config.json of a trained folder
        value = value["train"]
    inner = value.get("policy", {})
    if not isinstance(inner, dict):
        raise ConfigError(f"{path}: policy is {inner!r}; it must hold settings of the policy")
    train, policy = typing.get_type_hints(TrainConfig), typing.get_type_hints(PolicyConfig)
    own = {f.name for f in dataclasses.fields(TrainConfig)} - {"policy"}
    parts = {f.name for f in dataclasses.fields(PolicyConfig)}
    for name in [*(k for k in value if k != "policy" and k not in own | parts), *(k for k in inner if k not in parts)]:
        raise UnknownNameError(f"setting in {path}", str(name), own | parts)
    settings = {k: _coerced(path, k, v, train[k]) for k, v in value.items() if k in own}
    inner |= {k: v for k, v in value.items() if k in parts}
    inner = {k: _coerced(path, k, v, policy[k]) for k, v in inner.items()}
    if not settings.get("data"):
        settings["data"] = (UNSET,) * max(1, len(settings.get("weights", ())))
    return TrainConfig(**settings, policy=PolicyConfig(**inner))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read {path} ({error})") from error
    import yaml  # reads JSON too, but for tabs

    try:
        value = json.loads(text) if Path(path).suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # of JSON, of numbers of too many digits, of depth
        raise FileError(f"{path} is neither YAML nor JSON ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise FileError(f"{path} holds no settings; write lines such as `pooling: detpool`")
    return value


def _coerced(path: Path, name: str, value: Any, kind: Any) -> Any:
    """Returns a value as the type that a setting has."""
    if typing.get_origin(kind) is tuple:
        item_kind = typing.get_args(kind)[0]
        return tuple(_coerced(path, name, item, item_kind) for item in (value if isinstance(value, list) else [value]))
    if kind is float and isinstance(value, str):  # YAML reads 1e-3 as a text
        with contextlib.suppress(ValueError):
            value = float(value)
    check_value(f"{path}: {name}", value, kind)
    return float(value) if kind is float else value
