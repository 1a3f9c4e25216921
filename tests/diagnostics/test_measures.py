"""The table of questions: every row is answered and shown by functions that exist; the command asks all of it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift import policies
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import read_json
from toyshift.core.truths import Truth
from toyshift.diagnostics import measures, repair_truths
from toyshift.diagnostics.cards import Card, card_text
from toyshift.diagnostics.measures import ARRAYS, DATASETS, MEASURES, POLICY, ROWS, Asked, Measure
from toyshift.diagnostics.measuring import inside, learning_truths
from toyshift.diagnostics.measuring.planted import case_or_law, misses, rows_of
from toyshift.diagnostics.rows import write_rows
from toyshift.scripts import diagnose
from toyshift.scripts.cli import main as run

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_question_has_its_functions(measure: Measure) -> None:
    assert measure.needs in (POLICY, DATASETS, ROWS, ARRAYS)
    assert measure.question.endswith("?")
    assert list(inspect.signature(measures._function(measure.answered)).parameters) == ["asked"]
    assert list(inspect.signature(measures._function(measure.shown)).parameters) == ["result"]
    assert [m.name for m in MEASURES].count(measure.name) == 1


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_measure_finds_what_was_planted(measure: Measure) -> None:
    found = measure.truths()
    assert found
    assert not [truth for truth in found if not truth.ok]


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests run against an installed wheel")
def test_the_page_shows_the_table() -> None:
    lines = [f"| {m.name} | {m.needs} | {m.question} | {m.paper} | {m.cost} |" for m in MEASURES]
    table = "\n".join(["| name | of | question | paper | cost |", "|---|---|---|---|---|", *lines])
    assert f"<!-- measures -->\n{table}\n<!-- end -->" in PAGE.read_text(encoding="utf-8")


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests run against an installed wheel")
def test_the_page_shows_a_card_that_was_made() -> None:
    made = read_json(PAGE.parents[1] / "results" / "cards" / "fragment-rho1.json")
    lines = card_text(Card.from_json(made)).splitlines()
    text = "\n".join(lines[2:]).replace("/work/rep/demos/azimuth-s0", "runs/strips")
    assert f"=\n{text}\n```\n" in PAGE.read_text(encoding="utf-8")


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
    own = "length:truths", "a paper", "nothing"
    module.truths = lambda: [Truth("one", 1.0, 1.2, 0.1)]
    rows = (
        Measure("length", "how many?", DATASETS, "length:of_data", "length:table", *own),
        Measure("name", "how long?", POLICY, "length:of_policy", "length:table", *own),
    )
    monkeypatch.setattr(diagnose, "MEASURES", rows)
    monkeypatch.setattr(measures, "CARDS", {})
    monkeypatch.setattr(repair_truths, "repairs", dict)  # those have tests of their own


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
    unasked = diagnose.main(diagnose.Config(policy=(str(tmp_path),), out=tmp_path / "none", trials=999))["name"]
    assert [one["verdict"] for one in unasked[str(tmp_path)]] == ["undefined: --trials 999 leaves it out"]
    with pytest.raises(ConfigError, match=r"--policy DIR \(how long\?\) or --data DIR DIR ... \(how many\?\)"):
        diagnose.Config()


@pytest.mark.usefixtures("own")
def test_a_measure_that_is_wrong_ends_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose.main(diagnose.Config(self_test=True))["ok"] is False
    assert capsys.readouterr().out.count("WRONG") == 2
    assert run(["diagnose", "--self-test"]) == 1


def test_rows_are_asked_what_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nominal, shifted = misses(22, 18, 10)
    files = [
        write_rows(tmp_path / "a.parquet", rows_of("p", nominal), {}),
        write_rows(tmp_path / "b.parquet", rows_of("p", shifted[:, None], shift="camera-azimuth=2"), {}),
    ]
    argv = ["diagnose", "--out", str(tmp_path / "out"), "--rows", *map(str, files)]
    assert run(argv) == 0
    kept = read_json(tmp_path / "out" / "rows.json")
    assert [name for name in kept if name != "manifest"] == ["consistency", "ignorance", "progression"]
    assert kept["ignorance"][0]["value"]["value"] == 22 / 50
    assert kept["progression"][0]["value"]["value"] is None
    assert "of 40 misses 22 in spite of knowing" in capsys.readouterr().out
    assert run([*argv, "--measure", "ignorance"]) == 0
    assert read_json(tmp_path / "out" / "ignorance.json").keys() == {"ignorance", "manifest"}
    assert read_json(tmp_path / "out" / "rows.json") == kept


def test_arrays_are_asked(tmp_path: Path) -> None:
    import numpy as np

    made = case_or_law()
    path = tmp_path / "a.npz"
    np.savez(path, pred=made["half"], law=made["law"], nearest=made["nearest"], episode=np.arange(60) // 6)
    found = diagnose.main(diagnose.Config(arrays=path, out=tmp_path))["case"]
    assert found[0]["value"]["value"] == pytest.approx(0.5)
    assert found[0]["value"]["n"] == 10
    assert read_json(tmp_path / "arrays.json")["case"] == found


def test_what_is_named_must_be_of_what_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'ignorance'"):
        diagnose.Config(rows=("a",), measure=("ignorence",))
    with pytest.raises(ConfigError, match=r"--measure case is of arrays: it needs --arrays FILE"):
        diagnose.Config(rows=("a",), measure=("case",))
    with pytest.raises(ConfigError, match="--measure rule looks for the nearest example: give --trained-on DATA"):
        diagnose.Config(policy=("p",), measure=("rule",))
    with pytest.raises(ConfigError, match="give either"):
        diagnose.Config(rows=("a",), data=(tmp_path,))
    assert run(["diagnose", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == [m.name for m in MEASURES]


def test_extra_measures_are_asked_by_name_or_with_all(tmp_path: Path) -> None:
    def names(*measure: str, **given: object) -> set[str]:
        return {m.name for m in diagnose.Config(measure=measure, **given).measures}  # type: ignore[arg-type]

    extra = {m.name for m in MEASURES if m.extra}
    assert {"predicted", "coherence", "bits", "novelty", "dissociation", "monitor", "sparse", "sets"} == extra
    every = {m.name for m in MEASURES if m.needs == POLICY}
    assert names(policy=("p",)) == every - extra
    assert names("all", policy=("p",)) == names("all", "bits", policy=("p",)) == every
    assert names("bits", policy=("p",)) == {"bits"}
    assert names("all", rows=("a",)) == names(rows=("a",))
    assert diagnose.Config(policy=("p",), measure=("all",)).file.name == "sensitivity.json"
    assert names(self_test=True) == {m.name for m in MEASURES}
    with pytest.raises(ConfigError, match="--base is what one policy was tuned from; there are 2"):
        diagnose.Config(policy=("p", "q"), base="b")
    with pytest.raises(ConfigError, match="--measure bits cannot be taken of ws://a:1: it looks into the network"):
        diagnose.Config(policy=("ws://a:1",), measure=("bits",))
    for named in (("all",), ("bits", "counterfactual")):  # there is something to do: what cannot be asked is undefined
        assert diagnose.Config(policy=("ws://a:1",), measure=named).measures
    assert diagnose.Config(policy=("ws://a:1", "p"), measure=("bits",)).measures


@pytest.mark.parametrize("kind", ["bundle", "server"])
def test_every_measure_that_looks_inside_says_why_it_cannot(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bundle (a folder without a training's state) and of a server there is a reason for each, and no number."""
    (tmp_path / "contract.json").write_text("{}")
    monkeypatch.setattr(policies, "load_policy", lambda place, device: types.SimpleNamespace(policy=object()))
    monkeypatch.setattr(inside, "policy_fingerprint", lambda place: place)
    place = "ws://localhost:1" if kind == "server" else str(tmp_path)
    asked = Asked(policy=place, objects="toys:test", scenes=2, looks=1, trials=0, camera="", seed=0, out=tmp_path)
    looking = [measure for measure in MEASURES if measure.inside]
    assert len(looking) == 10
    for measure in looking:
        found = measure.answer(asked).to_json()
        assert found, measure.name
        for one in found:
            assert one["verdict"].startswith("undefined: "), measure.name
            assert one["value"]["value"] is None
            assert one["null"] is None
        assert "undefined: " in measure.show(measure.answer(asked))


def flipped(found: dict[int, Any]) -> dict[int, Any]:
    return {1: found[30], 30: found[1]}


def dealt(real: Any) -> Any:
    """Outcomes as they were, dealt out to objects anew in each variant."""
    return lambda *given: np.random.default_rng(0).permuted(real(*given), axis=0)


def without_cue(real: Any) -> Any:
    """What the cue was told of the target is told of another factor."""

    def measured(told: dict[str, Any], **options: Any) -> Any:
        u, others = told["d"]
        return real({"d": (u, {"cue": others["independent"], "independent": u["u"]})}, **options)

    return measured


def to_and_fro(real: Any) -> Any:
    """Every other change has the other sign."""

    def steered(base: Any, changed: Any, *given: Any) -> Any:
        return real(base, base + (changed - base) * np.where(np.arange(len(base)) % 2, 1, -1)[:, None], *given)

    return steered


LEARNING, PLANTED = "measuring.learning_truths", "measuring.planted"
PERTURBED: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("success", f"{PLANTED}:rows_of", lambda real: lambda name, won, **how: real(name, np.ones_like(won), **how)),
    ("sensitivity", "sensitivity:analyse", lambda real: lambda base, seen, *rest: real(
        base, dict.fromkeys(seen, base), *rest)),
    ("counterfactual", f"{PLANTED}:scripted", lambda real: lambda rho=0.0, **how: real(rho / 2, **how)),
    ("predicted", "measuring.predicted:spread_of", lambda real: lambda *given: 1.1 * real(*given)),
    ("named", f"{PLANTED}:heeding", lambda real: lambda share, *rest, **how: real(1 - share, *rest, **how)),
    ("rule", f"{PLANTED}:told_apart", lambda real: lambda copies, **how: real(1 - copies, **how)),
    ("diversity", "diversity:measure_vectors", lambda real: lambda told: real(
        {name: x - x.mean(axis=0) for name, x in told.items()})),
    ("dependence", "dependence:measure_dependence", without_cue),
    ("consistency", f"{PLANTED}:by_object", dealt),
    ("progression", f"{PLANTED}:helpful", lambda real: lambda rates, *rest: real(rates[::-1], *rest)),
    ("ignorance", f"{PLANTED}:misses", lambda real: lambda errors, ignorant, well: real(ignorant, errors, well)),
    ("case", f"{PLANTED}:case_or_law", lambda real: lambda: (made := real()) | {
        "law": made["nearest"], "nearest": made["law"]}),
    ("patching", "measuring.planted_networks:network", lambda real: lambda pooling, reads, **how: real(
        pooling, "state", **how)),
    ("probes", "measuring.planted_networks:code", lambda real: lambda: (made := {**real()}) | {
        "place": made["place"][::-1]}),
    ("steer", "measuring.steer:steering", to_and_fro),
    ("coherence", f"{LEARNING}:planted.aligned_gradients", lambda real: lambda n, share: real(
        n, min(1.0, share + 0.05))),
    ("bits", f"{LEARNING}:planted.gaussian_hypotheses", lambda real: lambda nats, seed: real(nats + 0.5, seed=seed)),
    ("novelty", f"{LEARNING}:planted.tuned", lambda real: lambda added, noise, seed=0, deals=19: real(
        0.0, noise, seed, deals=19)),
    ("dissociation", f"{LEARNING}:dissociation", lambda real: lambda seen, new, *rest: real(new, seen, *rest)),
    ("monitor", f"{LEARNING}:planted.xor_clusters", lambda real: lambda seed: flipped(real(seed))),
    ("sparse", f"{LEARNING}:auroc", lambda real: lambda values, positive: real(-values, positive)),
    ("sets", f"{LEARNING}:planted.several_objects", lambda real: lambda *given: (
        real(*given)[0], 1 - real(*given)[1][::-1])),
)  # fmt: skip
PERTURBED_CARDS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    (POLICY, f"{PLANTED}:scripted", lambda real: lambda rho=0.0, **how: real(0.0, **how)),
    (DATASETS, "dependence:measure_dependence", lambda real: lambda told, seed: real(
        {name: (u, dict.fromkeys(others, others["light"])) for name, (u, others) in told.items()}, seed)),
)  # fmt: skip


def perturb(place: str, changed: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    module, path = place.split(":")
    owner: Any = importlib.import_module(f"toyshift.diagnostics.{module}")
    *parts, last = path.split(".")
    for part in parts:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, last, changed(getattr(owner, last)))


@pytest.mark.parametrize(("name", "place", "changed"), PERTURBED, ids=[row[0] for row in PERTURBED])
def test_a_measure_that_is_perturbed_is_wrong(
    name: str, place: str, changed: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted truths of each measure can fail: data or measure are changed, and the self-test says so."""
    perturb(place, changed, monkeypatch)
    monkeypatch.setattr(learning_truths, "SPARSE_STEPS", 5)
    measure = next(measure for measure in MEASURES if measure.name == name)
    assert not all(truth.ok for truth in measure.truths())


@pytest.mark.parametrize(("needs", "place", "changed"), PERTURBED_CARDS)
def test_a_card_that_is_perturbed_is_wrong(
    needs: str, place: str, changed: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    perturb(place, changed, monkeypatch)
    assert not all(truth.ok for truth in measures.card_truths(needs))


def test_every_measure_and_card_is_perturbed() -> None:
    assert [row[0] for row in PERTURBED] == [*dict.fromkeys(row[0] for row in PERTURBED)]
    assert {row[0] for row in PERTURBED} == {measure.name for measure in MEASURES}
    assert {row[0] for row in PERTURBED_CARDS} == {*measures.CARDS}


def test_some_measures_do_not_take_the_place_of_all(tmp_path: Path) -> None:
    """A report reads sensitivity.json and diversity.json: without their main measure, results go elsewhere."""

    def file(**given: object) -> str:
        return diagnose.Config(**given).file.name  # type: ignore[arg-type]

    data = (tmp_path,)
    assert file(data=data) == file(data=data, measure=("diversity",)) == "diversity.json"
    assert file(data=data, measure=("dependence",)) == "dependence.json"
    assert file(policy=("p",), measure=("success",)) == "success.json"
    every = tuple(measure.name for measure in MEASURES if measure.needs == POLICY)
    assert file(policy=("p",)) == file(policy=("p",), measure=every, trained_on=data) == "sensitivity.json"
    assert file(policy=("p",), measure=("steer", "probes")) == "probes-steer.json"
    assert file(policy=("p",), measure=("sensitivity", "success")) == "success-sensitivity.json"
    assert file(policy=("p",), measure=("sensitivity",)) == "sensitivity.json"
    rows = ("a.parquet",)
    assert file(rows=rows) == file(rows=rows, measure=("consistency", "ignorance", "progression")) == "rows.json"
    assert file(rows=rows, measure=("progression", "consistency")) == "consistency-progression.json"
    assert file(arrays=tmp_path) == file(arrays=tmp_path, measure=("case",)) == "arrays.json"
