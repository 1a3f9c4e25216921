"""Holds the values of a dataclass to its annotations: their kind, their choices, and numbers that are finite.

Every configuration calls `check_fields` first, so that what follows may rely on the kinds; the command line reads the
choices and kinds from the same annotations.
"""

from __future__ import annotations

import functools
import math
import numbers
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, UnknownNameError, shown

MOST = 2**63 - 1  # the largest number that files and random generators take

KINDS = {bool: "true or false", int: "a whole number", float: "a finite number", str: "a text", Path: "a path"}


@functools.cache
def _tests(kind: Any) -> dict[str, tuple[Any, Callable[[Any], bool]]]:
    """Returns of every field of a dataclass its annotation and what says whether a value is as it says."""
    hints = typing.get_type_hints(kind)
    return {name: (hint, _test_of(hint)) for name, hint in hints.items() if name in kind.__dataclass_fields__}


def check_fields(config: Any, but: Collection[str] = ()) -> None:
    """Refuses values of another kind than their annotations, names that are no choice, and numbers that are not finite.

    Looked at are names, numbers, flags, paths, choices (Literal), None, other classes, and tuples and alternatives of
    these, of all fields `but` some.

    Raises:
        UnknownNameError: a name that is no choice.
        ConfigError: any other.
    """
    kind: Any = type(config)
    for name, (hint, fits) in _tests(kind).items():
        if name not in but and not fits(value := getattr(config, name)):
            check_value(name, value, hint)


def check_value(name: str, value: Any, hint: Any) -> None:
    """Refuses a value that is not as its annotation says; see `check_fields`. `name` is what it is called."""
    if _test_of(hint)(value):
        return
    for kind in parts_of(hint):  # of a list, the entry that is wrong
        inner = typing.get_args(kind)
        if typing.get_origin(kind) is tuple and inner[-1] is Ellipsis and isinstance(value, tuple | list):
            for entry in value:
                check_value(name, entry, inner[0])
    choices = [choice for kind in parts_of(hint) for choice in choices_of(kind)]
    if choices and isinstance(value, str):
        raise UnknownNameError(name.replace("_", " "), value, choices)
    huge = isinstance(value, int | float) and MOST < abs(value) < math.inf
    wanted = f"between -{MOST:.0e} and {MOST:.0e}" if huge else " or ".join(_wanted(hint))
    raise ConfigError(f"{name} is {shown(value)}; it must be {wanted}")


def parts_of(hint: Any) -> tuple[Any, ...]:
    """Returns the alternatives that an annotation allows."""
    if typing.get_origin(hint) is typing.Annotated:
        return parts_of(typing.get_args(hint)[0])
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(part for alternative in typing.get_args(hint) for part in parts_of(alternative))
    return (hint,)


def choices_of(kind: Any) -> tuple[str, ...]:
    """Returns the choices of a Literal; () of anything else."""
    return typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()


Limit = float | tuple[float, float]  # least value of a number, or least and largest


def check_ranges(config: Any, limits: Mapping[str, Limit], called: Callable[[str], str] = str) -> None:
    """Refuses numbers that are out of their limits, NaN among them; `called` says what a field is called.

    Of a tuple every entry is held to the limit. None is let through.
    """
    for name, limit in limits.items():
        low, high = limit if isinstance(limit, tuple) else (limit, math.inf)
        value = getattr(config, name)
        for entry in value if isinstance(value, tuple | list) else () if value is None else (value,):
            if not low <= entry <= high:
                span = f"at least {_told(low)}" if high == math.inf else f"from {_told(low)} to {_told(high)}"
                raise ConfigError(f"{called(name)} must be {span}, got {_told(entry)}")


def _told(number: float) -> str:
    """A number in a message, with so many digits that one beyond its limit differs from the limit."""
    return f"{number:,}" if isinstance(number, numbers.Integral) else f"{number:.10g}"


def _test_of(hint: Any) -> Callable[[Any], bool]:
    """Returns what says whether a value is as an annotation says."""
    tests = [_test_of_kind(kind) for kind in parts_of(hint)]
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _test_of_kind(kind: Any) -> Callable[[Any], bool]:
    """Returns what says whether a value is of one kind."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return lambda value: isinstance(value, str) and value in inner
    if origin is tuple and inner[-1] is Ellipsis:
        every = _test_of(inner[0])
        return lambda value: isinstance(value, tuple | list) and all(map(every, value))
    if origin is tuple:
        each, count = [_test_of(hint) for hint in inner], len(inner)
        return lambda value: (
            isinstance(value, tuple | list)
            and len(value) == count
            and all(test(entry) for test, entry in zip(each, value, strict=True))
        )
    if kind is bool:
        return lambda value: type(value).__name__ in ("bool", "bool_")  # Python's, NumPy 2's and NumPy 1's
    if kind in (int, float):
        wide: Any = numbers.Integral if kind is int else numbers.Real  # NumPy's are among them
        return lambda value: isinstance(value, wide) and not isinstance(value, bool) and -MOST <= value <= MOST
    if kind in (str, Path):
        texts = str if kind is str else str | Path
        return lambda value: isinstance(value, texts) and not unwritable(str(value))
    known = origin or kind
    return lambda value: not isinstance(known, type) or isinstance(value, known)


def unwritable(text: str) -> str:
    """Says why no file can hold a text, or be called so; "" where it can."""
    if "\0" in text:
        return "a character of number 0"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "bytes that are no UTF-8"
    return ""


def _wanted(hint: Any) -> Iterator[str]:
    """Yields what an annotation allows, in words."""
    for kind in parts_of(hint):
        inner = typing.get_args(kind)
        if choices := choices_of(kind):
            yield f"one of {', '.join(choices)}"
        elif typing.get_origin(kind) is tuple:
            several = "any number" if inner[-1] is Ellipsis else str(len(inner))
            yield f"a list of {several}, each {' or '.join(_wanted(inner[0]))}"
        else:
            yield KINDS.get(kind, "None" if kind is type(None) else f"a {getattr(kind, '__name__', kind)}")
