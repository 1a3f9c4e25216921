"""Options of sub-commands: the fields that all of them share, and the parser that tyro builds from a dataclass.

What is wrong with arguments is found from the dataclass and said in one line, before tyro reads them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import decimal
import difflib
import inspect
import io
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tyro

from toyshift.core.errors import SHOWN, ConfigError, ToyShiftError, UnknownNameError, shown
from toyshift.core.fields import KINDS, Limit, check_fields, check_ranges, choices_of, parts_of, unwritable
from toyshift.policies.remote.options import RemoteOptions

PER_CORE = 4  # processes; beyond that they only take memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """What every sub-command takes.

    Options of a class that are numbers are held to their least value, or to their least and largest, by words behind
    its base: `class Config(Common, trials=1, size=(64, 512))`.
    """

    _limits: ClassVar[Mapping[str, Limit]] = {}
    seed: int = 0
    """Root seed: the same seed gives the same result."""
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""

    def __init_subclass__(cls, **limits: Limit) -> None:
        super().__init_subclass__()
        inherited = {k: v for base in reversed(cls.__mro__) for k, v in vars(base).get("_limits", {}).items()}
        cls._limits = {**inherited, **limits}

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"seed": 0, **self._limits}, lambda name: f"--{name.replace('_', '-')}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asking(Common, remote_execute=0, remote_timeout=(0.001, 1e6)):
    """What a sub-command takes that asks policies behind a server."""

    remote_keys: str = ""
    """How a server calls observations: libero, droid, lerobot, vla-eval, vla-eval-libero or FILE.json; by default what
    it says itself."""
    remote_actions: str = ""
    """What a server's actions mean: a mode such as eef_delta (physical units), libero, droid or FILE.json; by default
    what it says itself."""
    remote_execute: int = 0
    """Actions of a server's chunk to execute; 0 is what it or the preset says, or all."""
    remote_timeout: float = 120.0
    """Longest wait for a server's answer [s]."""
    lerobot_python: str = ""
    """Python of an environment with LeRobot, for lerobot:DIR; by default TOYSHIFT_LEROBOT_PYTHON."""

    @property
    def remote(self) -> RemoteOptions:
        """How policies behind a server are asked and understood."""
        asked = (self.remote_keys, self.remote_actions, self.remote_execute, self.remote_timeout, self.lerobot_python)
        return RemoteOptions(*asked)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clustered(Parallel):
    """What a sub-command takes whose work a Ray cluster can do."""

    ray: str = ""
    """Address of a Ray cluster that does the work, or local for one on this machine; needs toyshift[ray]. --workers are
    then the cluster's, 0 takes one per core of it."""

    @property
    def here(self) -> bool:
        return self.ray in ("", "local")

    @property
    def processes(self) -> int:
        return self.workers if self.ray else super().processes


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
    for word in argv:
        if why := unwritable(word):
            raise ConfigError(f"the argument {shown(word)} holds {why}")
        if (word.partition("=")[2] or word).isspace():
            raise ConfigError(f"the argument {shown(word)} gives nothing but blanks")
    kind = options_of(main)
    # An example stands on a line of its own; tyro would join it to the paragraph above.
    description = re.sub(r"\n+(?=Example: )", "\n\n", inspect.getdoc(main) or "")
    given = kind.defaults(argv) if hasattr(kind, "defaults") else None  # a file of options that the command line names
    default = tyro.MISSING_NONPROP if given is None else given
    helps = "-h" in argv or "--help" in argv
    options = list(option_list(kind, given))
    arguments = Given.of(options, argv)
    if not helps:
        _refuse_repeated(options, argv)
        if wrong := _refusal(options, arguments, words, complete=given is None):
            raise wrong
    said = io.StringIO()  # by tyro of what is wrong, in a frame of several lines
    try:
        with contextlib.nullcontext() if helps else contextlib.redirect_stderr(said):
            config = tyro.cli(
                kind, args=arguments.argv, prog=f"toyshift {words}", description=description, default=default,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as left:
        if not left.code:
            raise
        own = _own_error(left)  # of a dataclass, whose message says it all
        raise own or ConfigError(f"`toyshift {words}` cannot read its arguments: {said.getvalue()}") from None
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
        required: there is no default, and it takes a value.
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
            return f"{name} takes {wanted} behind it, got {' '.join(values)[:SHOWN] or 'none'}"
        if self.kind is Path and "" in values:
            return f"{name} is ''; it must be {KINDS[Path]} ('.' is this folder)"
        for value in values:
            if (choices := choices_of(self.kind)) and value not in choices:
                close = difflib.get_close_matches(value[:SHOWN], choices, n=1)
                hint = f". Did you mean {close[0]!r}?" if close else ""
                return f"{name} is {shown(value)}; it must be one of {', '.join(choices)}{hint}"
            if self.kind in (int, float):
                try:
                    self.kind(value)
                except ValueError:
                    return f"{name} is {shown(value)}; it must be {KINDS[self.kind]}"
        return ""


def option_list(kind: Any, given: Any = None) -> Iterator[Option]:
    """Yields the options of a command's dataclass, those of dataclasses inside it among them.

    Args:
        kind: the dataclass.
        given: an instance that gives the defaults; a flag that is set by default has a name to clear it.
    """
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        inner, *marks = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
        default = field.default if given is None else getattr(given, field.name)
        if dataclasses.is_dataclass(inner):
            yield from option_list(inner, None if given is None else default)
            continue
        inner = next(part for part in parts_of(inner) if part is not types.NoneType)  # of X | None
        adds_up, positional = tyro.conf.UseAppendAction in marks, tyro.conf.Positional in marks
        count: int | None = 0 if inner is bool else 1
        several = False
        if typing.get_origin(inner) is tuple:
            parts = typing.get_args(inner)
            several = parts[-1] is Ellipsis
            count, inner = None if several and not adds_up else 1 if several else len(parts), parts[0]
        word = field.name.replace("_", "-")
        if positional:
            names = tuple(mark.metavar for mark in marks if getattr(mark, "metavar", None)) or (word.upper(),)
        else:
            aliases = tuple(alias for mark in marks for alias in getattr(mark, "aliases", None) or ())
            names = (f"--no-{word}",) if default is True else (f"--{word}", *aliases)
        # of several there may be none; what then lacks, the dataclass says
        required = field.default is field.default_factory is dataclasses.MISSING and not several
        yield Option(names, inner, count, positional, required, adds_up)


def _named(word: str) -> bool:
    """Whether an argument is an option's name, and no value such as -30 or -inf."""
    return word.startswith("-") and word.lstrip("-")[:1].isalpha() and not _NUMBER.fullmatch(word)


_NUMBER = re.compile(r"[+-]?(\d{1,99}\.?\d{0,99}(e[+-]?\d{1,2})?|inf(inity)?|nan)", re.ASCII | re.IGNORECASE)


def _plain(word: str, kind: Any) -> str:
    """Returns a number without an exponent where it is whole, or where tyro would take it for an option."""
    if kind not in (int, float) or not _NUMBER.fullmatch(word) or not word[-1].isdecimal():
        return word
    number = decimal.Decimal(word)
    whole = number == number.to_integral_value()
    return f"{number:.0f}" if whole and kind is int else f"{number:f}" if word.startswith("-") else word


@dataclasses.dataclass
class Given:
    """Arguments of a sub-command, sorted by the options that take them.

    Attributes:
        values: option -> what stands behind it.
        argv: all arguments, numbers as tyro reads them.
        loose: what no option takes.
        unknown: names that are no option's.
    """

    values: dict[Option, list[str]]
    argv: list[str]
    loose: list[str]
    unknown: list[str]

    @classmethod
    def of(cls, options: Sequence[Option], argv: Sequence[str]) -> Given:
        named = {name: option for option in options if not option.positional for name in option.names}
        given = cls({}, [], [], [])
        latest: Option | None = None
        runs: list[list[str]] = [[]]  # of words behind no option, those that stand side by side together
        for word in argv:
            if _named(word):
                runs.append([])
                name, equals, value = word.partition("=")
                latest = named.get(name.replace("_", "-"))
                if latest is None:
                    given.unknown.append(name)
                else:
                    value = _plain(value, latest.kind)
                    given.values[latest] = [value] if equals else []
                given.argv.append(name + equals + value)
            elif latest and (latest.count is None or len(given.values[latest]) < latest.count):
                given.argv.append(_plain(word, latest.kind))
                given.values[latest].append(given.argv[-1])
            else:
                runs[-1].append(word)
                given.argv.append(word)
        runs = list(filter(None, runs))
        for place in (option for option in options if option.positional):
            if runs:
                count = len(runs[0]) if place.count is None else place.count
                given.values[place], runs[0] = runs[0][:count], runs[0][count:]
                runs = list(filter(None, runs))
        given.loose.extend(word for run in runs for word in run)
        return given


def refusal(kind: Any, argv: Sequence[str], words: str, complete: bool = True) -> ToyShiftError | None:
    """Says what is wrong with the arguments of a sub-command, as far as their types tell; None where nothing is.

    Args:
        kind: its dataclass.
        argv: arguments after the sub-command.
        words: the sub-command.
        complete: what is required must be there.
    """
    options = list(option_list(kind))
    return _refusal(options, Given.of(options, argv), words, complete)


def _refusal(options: Sequence[Option], given: Given, words: str, complete: bool) -> ToyShiftError | None:
    if given.unknown:
        names = {option.names[0] for option in options if not option.positional}
        return UnknownNameError(f"option of `toyshift {words}`", given.unknown[0], names)
    see = f"see `toyshift {words} --help`"
    if given.loose:
        return ConfigError(f"`toyshift {words}` does not take {shown(given.loose[0])} here; {see}")
    missing = [option.usage() for option in options if option.required and option not in given.values]
    if missing and complete:
        return ConfigError(f"`toyshift {words}` needs {' and '.join(missing)}; {see}")
    wrong = next(filter(None, (option.complaint(found) for option, found in given.values.items())), "")
    return ConfigError(f"{wrong}{'' if wrong.endswith('?') else ';'} {see}") if wrong else None


def _refuse_repeated(options: Sequence[Option], argv: Sequence[str]) -> None:
    """Refuses an option of several values that is given twice: of `--data A --data B` tyro would drop A silently."""
    given = [word.split("=")[0].replace("_", "-") for word in argv if _named(word)]
    for option in options:
        times = sum(map(given.count, option.names))
        if option.count is None and times > 1:
            name = option.names[0]
            raise ConfigError(
                f"{name} is given {times} times, and only the last would count; put all values behind one: {name} A B"
            )
