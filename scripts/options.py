"""Options of sub-commands: the fields that all of them share, and the parser that tyro builds from a dataclass.

tyro reads the arguments; where it refuses them, what is wrong is found from the dataclass and said in one line.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tyro

from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError

PER_CORE = 4  # processes; beyond that they only take memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """What every sub-command takes.

    Options of a class that are numbers are held to their least value, or to their least and largest, by words behind
    its base: `class Config(Common, trials=1, size=(64, 512))`.
    """

    _limits: ClassVar[Mapping[str, float | tuple[float, float]]] = {}
    seed: int = 0
    """Root seed: the same seed gives the same result."""
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""

    def __init_subclass__(cls, **limits: float | tuple[float, float]) -> None:
        super().__init_subclass__()
        cls._limits = {**cls._limits, **limits}

    def __post_init__(self) -> None:
        for name, limit in self._limits.items():
            low, high = limit if isinstance(limit, tuple) else (limit, math.inf)
            if not low <= (value := getattr(self, name)) <= high:
                wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise ConfigError(f"--{name.replace('_', '-')} must be {wanted}, got {value:g}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parallel(Common, workers=0):
    """What a sub-command takes that works in several processes."""

    workers: int = 0
    """Processes; 0 takes one per core. At most four per core, and no more than there is work for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        cores, most = _cores(), PER_CORE * _cores()
        if self.workers > most and self.here:
            why = f"more than {PER_CORE} processes for each of {cores} cores only take memory"
            raise ConfigError(f"--workers is {self.workers}, but {why}: give --workers again, {most} at most")

    @property
    def here(self) -> bool:
        """Whether the processes are this machine's."""
        return True

    @property
    def processes(self) -> int:
        return self.workers or _cores()


def _cores() -> int:
    from toyshift.core.workers import core_count  # imported here: --help has no use for multiprocessing

    return core_count()


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
        ConfigError: an argument that is missing, unreadable, dropped or out of range.
    """
    kind = options_of(main)
    # An example stands on a line of its own; tyro would join it to the paragraph above.
    description = re.sub(r"\n+(?=Example: )", "\n\n", inspect.getdoc(main) or "")
    given = kind.defaults(argv) if hasattr(kind, "defaults") else None  # a file of options that the command line names
    default = tyro.MISSING_NONPROP if given is None else given
    helps = "-h" in argv or "--help" in argv
    if not helps:
        _refuse_repeated(kind, argv)
    said = io.StringIO()  # by tyro of what is wrong, in a frame of several lines
    try:
        with contextlib.nullcontext() if helps else contextlib.redirect_stderr(said):
            config = tyro.cli(
                kind, args=list(argv), prog=f"toyshift {words}", description=description, default=default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as left:
        if not left.code:
            raise
        own = _own_error(left)  # of a dataclass, whose message says it all
        error = own or refusal(kind, argv, words, complete=given is None)
        raise error or ConfigError(f"`toyshift {words}` cannot read its arguments: {said.getvalue()}") from None
    if (seed := getattr(config, "seed", 0)) < 0:
        raise ConfigError(f"--seed must be at least 0, got {seed}")
    return config


def options_of(main: Callable[[Any], dict[str, Any]]) -> Any:
    """Returns the dataclass that a sub-command takes."""
    return typing.get_type_hints(main)[next(iter(inspect.signature(main).parameters))]


def _own_error(left: BaseException) -> ToyShiftError | None:
    """Returns the error of a dataclass of ours that tyro was handling when it left, if it was."""
    error: BaseException | None = left
    while error is not None and not isinstance(error, ToyShiftError):
        error = error.__cause__ or error.__context__
    return error


@dataclasses.dataclass(frozen=True)
class Option:
    """An option as its dataclass has it.

    Attributes:
        names: all its spellings, the usual one first; of a positional one what it is called in usage lines.
        kind: type of one of its values.
        count: values behind it; None for any number.
        positional: it has no name on the command line.
        required: there is no default.
        adds_up: it may be given several times.
    """

    names: tuple[str, ...]
    kind: Any
    count: int | None
    positional: bool
    required: bool
    adds_up: bool

    def usage(self) -> str:
        """The option as it is asked for: "--out PATH", or "SET"."""
        value = "" if self.positional else f" {getattr(self.kind, '__name__', 'value').upper()}"
        return f"{self.names[0]}{value}"

    def complaint(self, values: Sequence[str]) -> str:
        """Says what is wrong with these values, "" if nothing is."""
        name = self.names[0]
        if self.count not in (None, len(values)):
            wanted = {0: "no value", 1: "a value"}.get(self.count, f"{self.count} values")
            return f"{name} takes {wanted} behind it, got {' '.join(values) or 'none'}"
        for value in values:
            if typing.get_origin(self.kind) is typing.Literal and value not in map(str, typing.get_args(self.kind)):
                return f"{name} is {value!r}; it must be one of {', '.join(map(str, typing.get_args(self.kind)))}"
            if self.kind in (int, float):
                try:
                    self.kind(value)
                except ValueError:
                    return f"{name} is {value!r}; it must be {'a whole number' if self.kind is int else 'a number'}"
        return ""


def option_list(kind: Any) -> Iterator[Option]:
    """Yields the options of a command's dataclass, those of dataclasses inside it among them."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        inner, *marks = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        if dataclasses.is_dataclass(inner):
            yield from option_list(inner)
            continue
        if typing.get_origin(inner) in (typing.Union, types.UnionType):  # X | None
            inner = next(part for part in typing.get_args(inner) if part is not types.NoneType)
        adds_up, positional = tyro.conf.UseAppendAction in marks, tyro.conf.Positional in marks
        count: int | None = 0 if inner is bool else 1
        if typing.get_origin(inner) is tuple:
            parts = typing.get_args(inner)
            several = parts[-1] is Ellipsis
            count, inner = None if several and not adds_up else 1 if several else len(parts), parts[0]
        word = field.name.replace("_", "-")
        if positional:
            names = tuple(mark.metavar for mark in marks if getattr(mark, "metavar", None)) or (word.upper(),)
        else:
            aliases = tuple(alias for mark in marks for alias in getattr(mark, "aliases", None) or ())
            names = (f"--{word}", *aliases, *([f"--no-{word}"] if inner is bool else []))
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        yield Option(names, inner, count, positional, required, adds_up)


def _named(word: str) -> bool:
    """Whether an argument is an option's name, and no value such as -30."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha()


def refusal(kind: Any, argv: Sequence[str], words: str, complete: bool = True) -> ToyShiftError | None:
    """Says what is wrong with the arguments of a sub-command, as far as their types tell; None where nothing is.

    Args:
        kind: its dataclass.
        argv: arguments after the sub-command.
        words: the sub-command.
        complete: what is required must be there.
    """
    options = list(option_list(kind))
    named = {name: option for option in options if not option.positional for name in option.names}
    places = [option for option in options if option.positional]
    values: dict[Option, list[str]] = {}
    loose: list[str] = []  # what stands behind no option
    latest: Option | None = None
    for word in argv:
        if _named(word):
            name, equals, value = word.partition("=")
            latest = named.get(name.replace("_", "-"))
            if latest is None:
                choices = {option.names[0] for option in named.values()}
                return UnknownNameError(f"option of `toyshift {words}`", name, choices)
            values[latest] = [value] if equals else []
        elif latest and (latest.count is None or len(values[latest]) < latest.count):
            values[latest].append(word)
        else:
            loose.append(word)
    for place in places:
        if loose:
            values[place], loose = loose[: place.count], loose[place.count :] if place.count else []
    see = f"see `toyshift {words} --help`"
    if loose:
        return ConfigError(f"`toyshift {words}` does not take {loose[0]!r} here; {see}")
    missing = [option.usage() for option in options if option.required and option not in values]
    if missing and complete:
        return ConfigError(f"`toyshift {words}` needs {' and '.join(missing)}; {see}")
    wrong = next(filter(None, (option.complaint(found) for option, found in values.items())), "")
    return ConfigError(f"{wrong}; {see}") if wrong else None


def _refuse_repeated(kind: Any, argv: Sequence[str]) -> None:
    """Refuses an option of several values that is given twice: of `--data A --data B` tyro would drop A silently."""
    given = [word.split("=")[0].replace("_", "-") for word in argv if _named(word)]
    for option in option_list(kind):
        times = sum(map(given.count, option.names))
        if option.count is None and times > 1:
            name = option.names[0]
            raise ConfigError(
                f"{name} is given {times} times, and only the last would count; put all values behind one: {name} A B"
            )
