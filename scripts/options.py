"""Options of sub-commands: the fields that all of them share, and the parser that tyro builds from a dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import os
import re
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tyro

from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError


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
        An instance of that dataclass. --help leaves through SystemExit(0).

    Raises:
        UnknownNameError: an option that does not exist; names the nearest and the choices.
        ConfigError: an argument that is missing, unreadable or out of range.
    """
    hints = typing.get_type_hints(main)
    kind = hints[next(iter(inspect.signature(main).parameters))]

    # An example stands on a line of its own; tyro would join it to the paragraph above.
    description = re.sub(r"\n+(?=Example: )", "\n\n", inspect.getdoc(main) or "")

    given = kind.defaults(argv) if hasattr(kind, "defaults") else None  # a file of options that the command line names

    def read() -> Any:
        default = tyro.MISSING_NONPROP if given is None else given
        return tyro.cli(kind, args=list(argv), prog=f"toyshift {words}", description=description, default=default, config=(tyro.conf.FlagCreatePairsOff,))

    if "-h" in argv or "--help" in argv:
        return read()
    _refuse_repeated(kind, argv)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box), _wide_terminal():
            config = read()
    except SystemExit as left:
        if not left.code:
            raise
        raise _one_line(box.getvalue(), kind, words) from None
    seed = getattr(config, "seed", 0)
    if seed < 0:
        raise ConfigError(f"--seed must be at least 0, got {seed}")
    return config


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """Lets tyro print without wrapping lines."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def _one_line(box: str, kind: Any, words: str) -> ToyShiftError:
    """Makes an error of one line out of the framed text in which tyro says what is wrong with the arguments."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines() if not line.startswith(("╭", "╰"))]
    if "│" not in plain:  # where stdout is not UTF-8, a title and a rule stand above instead of a frame
        lines = lines[2:]
    first = lines[: next((i for i, line in enumerate(lines) if re.fullmatch("[─-]{3,}", line)), len(lines))]
    text = " ".join(line for line in first if line)
    see = f"see `toyshift {words} --help`"
    if text.startswith("Unrecognized options:"):
        got = text.removeprefix("Unrecognized options:").strip().split(", ")[0]
        if not got.startswith("-"):
            return ConfigError(f"`toyshift {words}` does not take {got!r} here; {see}")
        return UnknownNameError(f"option of `toyshift {words}`", got.split("=")[0], option_names(kind))
    if text.startswith("Missing from"):
        missing = [line for i, line in enumerate(first) if i % 2 == 1]  # each is followed by its help
        return ConfigError(f"`toyshift {words}` needs {' and '.join(missing)}; {see}")
    own = re.match(r"Error parsing [^-\s][\w.]*: (.*)", text)  # raised by a dataclass of ours, whose message says it all
    return ConfigError(own[1] if own else f"{text.removeprefix('Error parsing ').rstrip('.') or plain.strip()}; {see}")


def option_names(kind: Any) -> list[str]:
    """Returns the options of a command's dataclass, those of dataclasses inside it among them."""
    return [name for name, _, _ in _options(kind)]


def _options(kind: Any) -> Iterator[tuple[str, Any, list[Any]]]:
    """Yields name, type and tyro's marks of the options of a command's dataclass, those of dataclasses inside it among them."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        inner, *marks = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        if dataclasses.is_dataclass(inner):
            yield from _options(inner)
        elif not any(repr(mark) == "Positional" for mark in marks):  # tyro's marks have no public type to compare with
            yield "--" + field.name.replace("_", "-"), inner, marks


def _refuse_repeated(kind: Any, argv: Sequence[str]) -> None:
    """Refuses an option of several values that is given twice: of `--data A --data B` the parser would drop A without a word."""
    given = [word.split("=")[0].replace("_", "-") for word in argv if word.startswith("--")]
    for name, inner, marks in _options(kind):
        several = typing.get_origin(inner) is tuple and typing.get_args(inner)[-1] is Ellipsis
        if several and tyro.conf.UseAppendAction not in marks and given.count(name) > 1:
            raise ConfigError(f"{name} is given {given.count(name)} times, and only the last would count; put all values behind one: {name} A B")
