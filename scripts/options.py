"""Options of sub-commands: the fields that all of them share, and the parser that tyro builds from a dataclass."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

import tyro


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """What every sub-command takes."""

    seed: int = 0
    """Root seed: the same seed gives the same result."""
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""


def parse(main: Callable[[Any], dict[str, Any]], argv: Sequence[str], words: str) -> Any:
    """Parses the arguments of a sub-command into the dataclass that its `main` takes.

    Args:
        main: the sub-command; the annotation of its first argument names the dataclass.
        argv: arguments after the sub-command.
        words: the sub-command, for usage lines.

    Returns:
        An instance of that dataclass. Wrong arguments and --help leave through SystemExit (2 and 0).
    """
    hints = typing.get_type_hints(main)
    config = hints[next(iter(inspect.signature(main).parameters))]
    description = inspect.getdoc(main)
    return tyro.cli(config, args=list(argv), prog=f"toyshift {words}", description=description, config=(tyro.conf.FlagCreatePairsOff,))
