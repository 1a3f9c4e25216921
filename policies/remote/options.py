"""What a user says about policies behind a server: their address, keys and actions, and how long to wait."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core import fields
from toyshift.core.errors import FileError, UnknownNameError
from toyshift.core.files import BY_HAND, read_json

SOCKETS = ("ws://", "wss://")
LEROBOT = "lerobot:"
VLA_EVAL = "vla-eval:"


def is_remote(policy: str) -> bool:
    """Whether a policy is asked over a connection: ws(s)://HOST:PORT, vla-eval:HOST:PORT or lerobot:DIR."""
    return policy.startswith((*SOCKETS, LEROBOT, VLA_EVAL))


@dataclasses.dataclass(frozen=True)
class RemoteOptions:
    """How remote policies are asked and understood.

    Attributes:
        keys: how observations are called: a preset or a JSON file; "" takes what the server says. See `remote_keys`.
        actions: what actions mean: a mode, a preset or a JSON file; "" takes what the server says. See
            `remote_actions`.
        execute: actions of a chunk that are executed before the next question; 0 takes what the server or the preset
            says, or the whole chunk.
        timeout: longest wait for an answer [s]; the first one of a large policy may include its compilation.
        lerobot_python: interpreter of an environment that has LeRobot; "" takes TOYSHIFT_LEROBOT_PYTHON.
    """

    keys: str = ""
    actions: str = ""
    execute: int = 0
    timeout: float = 120.0
    lerobot_python: str = ""

    def __post_init__(self) -> None:
        fields.check_fields(self)
        fields.check_ranges(self, {"execute": 0, "timeout": (0.001, 1e6)})

    def meaning(self) -> dict[str, Any]:
        """Returns what decides rows, for their key: contents of files, not their names."""
        return {
            "keys": read_json(Path(self.keys), BY_HAND) if self.keys.endswith(".json") else self.keys,
            "actions": read_json(Path(self.actions), BY_HAND) if self.actions.endswith(".json") else self.actions,
            "execute": self.execute,
        }


def preset_or_file(kind: str, text: str, presets: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Returns the fields that a preset's name or a JSON file stands for.

    Raises:
        UnknownNameError: neither a preset nor a *.json file.
        FileError: the file cannot be read or holds no object.
    """
    if text in presets:
        return presets[text]
    if not text.endswith(".json"):
        raise UnknownNameError(f"{kind} (or FILE.json)", text, presets)
    value = read_json(Path(text), BY_HAND)
    if not isinstance(value, dict):
        raise FileError(f"{text} holds a {type(value).__name__}; {kind} are a JSON object")
    return value


def check_fields(kind: str, value: dict[str, Any], known: set[str]) -> None:
    """Raises UnknownNameError for a field that does not exist."""
    for name in value:
        if name not in known:
            raise UnknownNameError(f"field of {kind}", str(name), known)
