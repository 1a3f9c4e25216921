"""The grammar of object sets: `source[:argument][@variant][?key=value&...]`, several joined by `+`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from urllib.parse import unquote

from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.core.terms import SpecTerm, split_spec


@dataclasses.dataclass(frozen=True)
class Term:
    """One source of a spec.

    Attributes:
        text: as it was written.
        source: e.g. "toys", "ycb".
        argument: behind the colon, e.g. "train" or a folder; "" where there is none.
        variant: behind the @; "" where there is none.
        options: key -> value; a bare key has the value "".
    """

    text: str
    source: str
    argument: str
    variant: str
    options: tuple[tuple[str, str], ...]


def parse(spec: str) -> tuple[Term, ...]:
    """Splits a spec into its terms.

    A folder whose name contains one of `+ ? @ %` is written with %2B, %3F, %40 or %25 in its place.

    Raises:
        ConfigError: the spec is empty, or a term or an option is malformed or repeated.
    """
    escape = " (in a folder's name, write %2B)"
    terms = split_spec(spec, "object set", "'toys:train' or 'ycb-like?graspable'", escape)
    return tuple(_term(term, spec) for term in terms)


def _term(term: SpecTerm, spec: str) -> Term:
    text, head, options = term
    head, mark, variant = head.partition("@")
    if mark and not variant:
        raise ConfigError(f"object set {shown(spec)}: the variant behind '@' is empty (in a folder's name, write %40)")
    source, mark, argument = head.partition(":")
    if not source:
        raise ConfigError(f"object set {shown(spec)}: there is no source, e.g. 'toys', before {shown(head)}")
    if mark and not argument:
        raise ConfigError(f"object set {shown(spec)}: nothing follows '{source}:'")
    return Term(text, source, unquote(argument), variant, tuple(options.items()))


def check_variant(term: Term, choices: Iterable[str] = ()) -> None:
    """Raises UnknownNameError where the term has a variant that is none of the choices."""
    if term.variant and term.variant not in choices:
        owner = f"{term.source}:{term.argument}" if term.source == "toys" else term.source
        raise UnknownNameError(f"variant of {owner}", term.variant, choices)


def number(term: Term, key: str, default: float) -> float:
    """The value of an option as a finite positive number; `default` where it is absent or bare.

    Raises:
        ConfigError: it is not such a number.
    """
    text = dict(term.options).get(key, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"object set {shown(term.text)}: {key} must be a positive number, got {shown(text)}")
    return value


def whole(term: Term, key: str, default: int, low: int = 0) -> int:
    """The value of an option as a whole number of at least `low`; `default` where it is absent or bare.

    Raises:
        ConfigError: it is not such a number.
    """
    text = dict(term.options).get(key, "")
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < low:
        wanted = f"a whole number of at least {low} and at most 18 digits"
        raise ConfigError(f"object set {shown(term.text)}: {key} must be {wanted}, got {shown(text)}")
    return int(text)
