"""The table of questions: every row is answered and shown by functions that exist; the command asks all of it."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json
from toyshift.diagnostics import measures
from toyshift.diagnostics.measures import DATASETS, MEASURES, POLICY, Measure
from toyshift.scripts import diagnose


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_question_has_its_functions(measure: Measure) -> None:
    assert measure.needs in (POLICY, DATASETS)
    assert measure.question.endswith("?")
    assert list(inspect.signature(measures._function(measure.answered)).parameters) == ["asked"]
    assert list(inspect.signature(measures._function(measure.shown)).parameters) == ["result"]
    assert [m.name for m in MEASURES].count(measure.name) == 1


@dataclasses.dataclass(frozen=True)
class Length:
    count: int

    def to_json(self) -> dict[str, int]:
        return {"count": self.count}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A diagnostic of a module and two rows: the datasets' number, and the length of a policy's name if long enough."""
    module = types.ModuleType("toyshift.diagnostics.length")
    module.of_data = lambda asked: Length(len(asked.datasets))
    module.of_policy = lambda asked: Length(len(asked.policy)) if len(asked.policy) > asked.trials else None
    module.table = lambda result: f"length {result.count}"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    rows = (
        Measure("length", "how many?", DATASETS, "length:of_data", "length:table"),
        Measure("name", "how long?", POLICY, "length:of_policy", "length:table"),
    )
    monkeypatch.setattr(diagnose, "MEASURES", rows)


@pytest.mark.usefixtures("own")
def test_a_row_is_all_that_the_command_needs(
    policy_folder: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = diagnose.main(diagnose.Config(data=(tmp_path, tmp_path), out=tmp_path / "data"))
    assert data["length"] == {"count": 2}
    assert "length 2" in capsys.readouterr().out
    assert read_json(tmp_path / "data" / "diversity.json")["length"] == {"count": 2}
    policy_folder(tmp_path)
    found = diagnose.main(diagnose.Config(policy=(str(tmp_path),), out=tmp_path / "policy", trials=0))
    assert found["name"] == {str(tmp_path): {"count": len(str(tmp_path))}}
    assert diagnose.main(diagnose.Config(policy=(str(tmp_path),), out=tmp_path / "none", trials=999))["name"] == {}
    with pytest.raises(ConfigError, match=r"--policy DIR \(how long\?\) or --data DIR DIR ... \(how many\?\)"):
        diagnose.Config()
