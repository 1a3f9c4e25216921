"""A fuzz over every option of every command: taken, or refused in one line that names the culprit. See the module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest


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


def test_a_traceback_and_an_error_that_names_nothing_are_found(
    fuzz: Any, runner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toyshift.core.errors import ConfigError
    from toyshift.scripts.data import info

    def fail(error: Exception) -> None:
        def main(cfg: Any) -> dict[str, Any]:
            raise error

        main.__annotations__["cfg"] = info.DatasetConfig
        monkeypatch.setattr(info, "main", main)

    one = fuzz.Case(("data", "info", "missing"), ("DIR", "missing"))
    fail(TypeError("a bug"))
    assert runner.run(one).kind == "traceback"
    fail(ConfigError("it is wrong"))
    assert runner.run(one).kind == "unclear"
    fail(ConfigError("missing is wrong"))
    assert runner.run(one).kind == "refused"
