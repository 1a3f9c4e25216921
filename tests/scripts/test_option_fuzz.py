"""A fuzz over every option of every command: taken, or refused in one line that names the culprit. See the module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from toyshift.core.errors import ConfigError


@pytest.fixture(scope="module")
def fuzz(benchmark_file: Callable[[str], ModuleType]) -> Any:
    return benchmark_file("option_fuzz")


@pytest.fixture(scope="module")
def runner(fuzz: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzz") / "inputs"
    fuzz.make_inputs(folder)
    with fuzz.hooks():
        yield fuzz.Runner(folder)


def test_no_case_ends_in_a_traceback_or_an_error_that_does_not_help(fuzz: Any, runner: Any) -> None:
    bad = []
    for number in range(len(fuzz.pairs())):  # each option once, and others beside it
        one = fuzz.case(number)
        outcome = runner.run(one)
        if not outcome.good:
            bad.append(f"{number} {outcome.kind}: {' '.join(map(repr, one.argv))[:500]}\n{outcome.text[-2000:]}")
    assert not bad, "\n\n".join(bad[:5])


def test_the_words_that_are_changed_are_of_commands_that_work(fuzz: Any, runner: Any) -> None:
    for command in fuzz.commands():
        outcome = runner.run(fuzz.unchanged(command))
        assert outcome.kind in ("done", "begun") or command.words in fuzz.REFUSED, (command.words, outcome.text)


@pytest.mark.parametrize(("error", "changed", "kind"), [
    (TypeError("a bug"), ("DIR", "missing"), "traceback"),
    (ConfigError("it is wrong"), ("DIR", "missing"), "unclear"),
    (ConfigError("missing is wrong"), ("DIR", "missing"), "refused"),
    (ConfigError("it is wrong"), ("toyshift", "t", "shift:"), "unclear"),  # how every error begins
    (ConfigError("it is wrong; see `toyshift data info --help`"), ("--data", "info", "--help"), "unclear"),
    (ConfigError("'' is wrong"), ("a:", "=", "/"), "unclear"),  # pieces that are empty
    (ConfigError("at least 10 or 1.5, not -1"), ("1",), "unclear"),
    (ConfigError("at least 10, got 1"), ("1",), "refused"),
    (ConfigError("at least 0, got -1"), ("-1",), "refused"),
    (ConfigError("at most 10, got 1,000,000,000"), ("1e9",), "refused"),
    (ConfigError("a file is wrong, give --out"), ("-", "--", "ou", "fil"), "unclear"),
    (ConfigError("image_size must be at least 16"), ("--image-size",), "refused"),
    (ConfigError("a name is wrong"), (" ",), "unclear"),
    (ConfigError("an empty name is wrong"), (" ",), "refused"),
    (ConfigError("unknown object set 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaa'"), ("a" * 5000,), "refused"),
])  # fmt: skip
def test_a_traceback_and_an_error_that_names_nothing_are_found(
    error: Exception, changed: tuple[str, ...], kind: str, fuzz: Any, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toyshift.scripts.data import info

    def main(cfg: Any) -> dict[str, Any]:
        raise error

    main.__annotations__["cfg"] = info.DatasetConfig
    monkeypatch.setattr(info, "main", main)
    assert runner.run(fuzz.Case(("data", "info", "missing"), changed)).kind == kind
