"""The grammar of specs: `name[?key=value&...]`, several joined by `+`; options are read as a dataclass says."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote

from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.core.fields import choices_of, parts_of

T = TypeVar("T")
FLAGS = {"yes": True, "no": False, "1": True, "0": False, "": True}  # a bare key sets a flag


class SpecTerm(NamedTuple):
    """One term of a spec: as it was written, what stands before the question mark, and key -> value."""

    text: str
    head: str
    options: dict[str, str]


def split_spec(spec: str, what: str, example: str, escape: str = "") -> tuple[SpecTerm, ...]:
    """Splits a spec into its terms; a bare key has the value "".

    Args:
        spec: the text.
        what: of what it is a spec, e.g. "object set"; for errors.
        example: of one; for errors.
        escape: how a '+' is written that joins nothing; for errors.

    Raises:
        ConfigError: the spec is empty, or a term or an option is malformed or repeated.
    """
    if not isinstance(spec, str) or not spec.strip():
        told = "empty" if isinstance(spec, str) else shown(spec)
        raise ConfigError(f"the {what} is {told}; write e.g. {example}")
    return tuple(_term(text.strip(), f"{what} {shown(spec)}", escape) for text in spec.split("+"))


def _term(text: str, where: str, escape: str) -> SpecTerm:
    if not text:
        raise ConfigError(f"{where}: there is nothing on one side of a '+'{escape}")
    head, _, query = text.partition("?")
    options: dict[str, str] = {}
    for item in query.split("&") if query else []:
        key, _, value = item.partition("=")
        if not key or key in options:
            told = f"the options {query!r} hold {'a repeated' if key else 'an empty'} key {key!r}"
            raise ConfigError(f"{where}: {told}; write key=value&key=value")
        options[key] = unquote(value)
    return SpecTerm(text, head, options)


def read_options(kind: type[T], options: Mapping[str, str], what: str) -> T:
    """Returns a dataclass whose fields are given as texts; a '-' in a key stands for '_'.

    Read are whole and other numbers, flags (yes, no, or the bare key), texts, and kinds that have a class method
    `parse`, of texts.

    Args:
        kind: the dataclass; what contradicts itself, it refuses.
        options: key -> value.
        what: whose options these are, e.g. "augmentation viewpoint"; for errors.

    Raises:
        UnknownNameError: a key that is no field.
        ConfigError: a value of another kind, or that the dataclass refuses.
    """
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # a dataclass
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, text in options.items():
        name = key.replace("-", "_")
        if name not in fields:
            raise UnknownNameError(f"key of {what}", key, fields)
        try:
            values[name] = _read(text, hints[name])
        except (ValueError, KeyError) as error:
            told = str(error) if isinstance(error, ConfigError) else f"it must be {_wanted(hints[name])}"
            raise ConfigError(f"{what}: {key} is {shown(text)}; {told}") from error
    try:
        return kind(**values)
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def _read(text: str, hint: Any) -> Any:
    part = _main(hint)
    if part is bool:
        return FLAGS[text]
    return part.parse(text) if hasattr(part, "parse") else part(text) if part in (int, float) else text


def _main(hint: Any) -> Any:
    return next(part for part in parts_of(hint) if part is not type(None))


def _wanted(hint: Any) -> str:
    told = {bool: "yes or no", int: "a whole number", float: "a number"}
    return told.get(_main(hint), f"one of {', '.join(choices_of(_main(hint)))}")
