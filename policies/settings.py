"""What all configurations of this room can do: a JSON round trip and checks that name the field; without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Self

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.fields import check_fields


@dataclasses.dataclass(frozen=True)
class Settings:
    """A frozen configuration, whose values are held to their annotations."""

    def __post_init__(self) -> None:
        check_fields(self)

    def to_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Builds a configuration; fields of a newer version are refused instead of being dropped silently."""
        if unknown := sorted(set(value) - {f.name for f in dataclasses.fields(cls)}):
            new = ", ".join(unknown)
            raise ConfigError(f"{cls.__name__} does not know {new}: another version of toyshift wrote the folder")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})

    def _require(self, what: str, holds: Callable[[Any], bool], *names: str) -> None:
        """Raises ConfigError for the first of these fields that is not what it must be."""
        for name in names:
            if not holds(getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)}; it must {what}")


def choose(kind: str, got: str, choices: Iterable[str]) -> None:
    """Raises UnknownNameError for a name that is not among the choices."""
    if got not in (known := tuple(choices)):
        raise UnknownNameError(kind, got, known)
