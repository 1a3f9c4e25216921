"""Specs: terms and options as they were written, values of the kinds that annotations say, errors that name choices."""

from __future__ import annotations

import dataclasses

import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.terms import SpecTerm, read_options, split_spec


@dataclasses.dataclass(frozen=True)
class Knobs:
    share: float | None = None
    count_all: int = 1
    keep: bool = True


def test_a_spec_is_its_terms_with_their_options() -> None:
    found = split_spec("a?x=1&flag + b", "thing", "a")
    assert found == (SpecTerm("a?x=1&flag", "a", {"x": "1", "flag": ""}), SpecTerm("b", "b", {}))


@pytest.mark.parametrize(("spec", "told"), [
    ("", "the thing is empty; write e.g. a"), ("a+", "nothing on one side"), ("a?x=1&x=2", "a repeated key 'x'"),
    ("a?=1", "an empty key"),
])  # fmt: skip
def test_malformed_specs_are_refused(spec: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        split_spec(spec, "thing", "a")


def test_values_are_of_the_kinds_that_annotations_say() -> None:
    assert read_options(Knobs, {"share": "0.5", "count-all": "3", "keep": "no"}, "thing a") == Knobs(0.5, 3, False)
    assert read_options(Knobs, {"keep": ""}, "thing a") == Knobs()


@pytest.mark.parametrize(("options", "told"), [
    ({"shar": "1"}, "unknown key of thing a 'shar'. Did you mean 'share'"),
    ({"share": "x"}, "share is 'x'; .* a number"),
    ({"count_all": "1.5"}, "it must be a whole number"), ({"keep": "perhaps"}, "it must be yes or no"),
])  # fmt: skip
def test_what_is_no_key_or_no_value_is_refused_with_the_choices(options: dict[str, str], told: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=told):
        read_options(Knobs, options, "thing a")
