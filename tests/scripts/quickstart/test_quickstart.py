"""The quickstart end to end, as small as it gets: all stages run, and a second run does nothing."""

import dataclasses
import json
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics import compare, read_rows
from toyshift.diagnostics.retention import training_sets
from toyshift.scripts.quickstart import experiment
from toyshift.scripts.quickstart import results as quickstart_results
from toyshift.scripts.quickstart.experiment import Quickstart, main
from toyshift.scripts.quickstart.planted import SPECS
from toyshift.scripts.quickstart.settings import Config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("quick")
    return Config(
        out=folder / "run", results=folder / "kept" / "quickstart", episodes=2, steps=2, batch=4, trials=1,
        factor_trials=1, scenes=2, planted_episodes=2, planted_steps=1, planted_trials=1, workers=1,
    )


def tables_of(folder: Path) -> list[int]:
    """Returns the table of each demonstration."""
    dataset = open_dataset(folder)
    return [dataset.meta(i)["factors"]["look"]["table"] for i in range(dataset.num_episodes)]


@pytest.mark.usefixtures("works_here")
def test_every_stage_runs_and_a_second_run_does_nothing(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed = {name for name, _, _ in quickstart_results.FILMS}
    monkeypatch.setattr(quickstart_results, "FILMS", ())  # half a minute; `diagnostics/test_video.py` has films
    monkeypatch.setattr(experiment, "core_count", lambda: 1)  # a second thread waits more than it works on such batches
    evaluation = Config.evaluation  # what policies of two steps do is told by a few steps as well as by a hundred
    monkeypatch.setattr(Config, "evaluation", lambda *asked: dataclasses.replace(evaluation(*asked), max_steps=5))
    first = main(config)
    results = json.loads((config.out / "results.json").read_text())
    sets = {"toys:train", "toys:test", "ycb-like?graspable"}
    policies = ("detpool", "attention-mask", "mean", "oracle", "random")
    assert {(row["policy"], row["set"]) for row in results["success"]} == {(p, s) for p in policies for s in sets}
    assert filmed <= set(policies)
    assert all(len(row["wilson_95"]) == 2 and row["n"] == 1 for row in results["success"])
    assert {row["policy"]: row["pooling"] for row in results["success"]} == dict(
        zip(policies, ("detpool", "attention + mask", "mean", "", ""), strict=True)
    )
    assert len(results["retention"]) == 2 * len(policies)  # on both sets that are not the training toys
    assert {(d["first"], d["second"]) for d in results["differences"]} == {
        ("detpool", "attention-mask"), ("detpool", "mean")
    }
    assert all(d["p_holm"] >= d["paired"]["p_value"] for d in results["differences"])
    for pooling in policies[:3]:
        factors = results["sensitivity"][pooling]["factors"]
        assert set(factors) == {"table", "background", "azimuth", "light", "object_colour"}
        assert all(f["shift"]["n"] == 2 and f["under"]["n"] == 1 for f in factors.values())
        assert results["sensitivity"][pooling]["training"][1] == 1
        assert results["training"][pooling]["samples"] == 8
    assert results["bundle"]["passed"]
    assert results["bundle"]["largest_difference"] <= 1e-5
    shortcut = results["shortcut"]
    assert {name: one["augmented"] for name, one in shortcut["policies"].items()} == {"shortcut": "", **SPECS}
    assert {(one["factor"], one["verdict"][:9]) for one in shortcut["policies"].values()} == {("table", "incapable")}
    assert all(sum(one["degree"]["counts"].values()) == 2 for one in shortcut["policies"].values())
    assert shortcut["card"]["kind"] == "dataset"
    assert set(shortcut["differences"]["dsl"]) == {"repaired_minus_before", "repaired_minus_control"}
    tables = {name: [tables_of(config.planted(name) / f"part-{i}") for i in (0, 1)] for name in shortcut["policies"]}
    [[one], [other]] = tables["shortcut"]
    for name, sides in (("shortcut-repaired", (other, one)), ("shortcut-control", (one, other))):
        assert [own for own, _ in tables[name]] == [one, other]  # the demonstrations themselves, then their copies
        assert [abs(new - side) < 2 for (_, new), side in zip(tables[name], sides, strict=True)] == [True, True]
    page = (config.out / "report.html").read_text()
    assert "Detection pooling" in page
    assert "by the simulator, in every image and at test time too" in page
    # what was collected, trained on and tested is told apart by what is written
    folder = str(config.policy("mean"))
    assert training_sets([folder], ["toys:test", "toys:train"]) == {folder: "toys:train"}
    made = {path: path.stat().st_mtime_ns for path in config.out.rglob("*") if path.is_file()}
    capsys.readouterr()
    second = main(config)
    assert second["cached"]
    assert not first["cached"]
    assert "nothing to do" in capsys.readouterr().out
    assert made == {path: path.stat().st_mtime_ns for path in config.out.rglob("*") if path.is_file()}


def test_rows_are_kept_and_results_can_be_computed_from_them(config: Config) -> None:
    assert config.results is not None
    kept = config.results / "rows"
    assert json.loads((config.results.parent / "quickstart.json").read_text()) == json.loads(
        (config.out / "results.json").read_text()
    )
    files = {path.name: read_rows(path) for path in kept.iterdir()}
    assert len(files) == 5 * 3 + 3 * 5 + 3 * 4  # policies and sets; factors; policies of the shortcut, and cells
    assert {row.purpose for rows in files.values() for row in rows} == {"test"}
    sides = [files[f"{name}_toys-test_plain_1.parquet"] for name in ("detpool", "mean")]
    stored = json.loads((config.out / "results.json").read_text())["differences"]
    [found] = [d for d in stored if (d["second"], d["object_set"]) == ("mean", "toys:test")]
    assert found["paired"] == json.loads(json.dumps(compare(*sides).to_json()))
    (kept / "of_an_earlier_run.parquet").write_text("")
    (kept / "mean_toys-test_plain_1.parquet").unlink()
    assert main(config)["cached"]  # nothing is made again, but what is kept is
    assert {path.name for path in kept.iterdir()} == set(files)


def test_rows_of_something_else_are_not_replaced(config: Config, tmp_path: Path) -> None:
    (tmp_path / "lego" / "rows").mkdir(parents=True)
    (tmp_path / "lego" / "rows" / "a.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="was not made by `toyshift run quickstart --results`"):
        main(dataclasses.replace(config, out=tmp_path / "run", results=tmp_path / "lego"))
    assert (tmp_path / "lego" / "rows" / "a.parquet").read_text() == "mine"


def test_another_configuration_in_the_same_folder_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"another configuration \(seed: '5' now, '0' there\)"):
        main(dataclasses.replace(config, seed=5))


def test_a_folder_of_an_earlier_version_is_understood(config: Config, tmp_path: Path) -> None:
    older, key = dataclasses.replace(config, out=tmp_path / "run"), config.identity()
    write_json(older.out / "quickstart.json", {"key": key, "config": config.to_json()})
    assert Quickstart(older).finished() is None  # half done: the same command goes on
    for name in ("report.html", "results.json"):
        (older.out / name).write_text("")
    assert Quickstart(older).finished() is None
    write_json(older.out / "finished.json", {"key": key, "result": {"success": {}}})
    assert main(older) == {"success": {}, "cached": True}
    with pytest.raises(ConfigError, match="another configuration; choose another folder"):
        main(dataclasses.replace(older, steps=3))


def test_a_folder_of_something_else_is_refused_and_left_alone(config: Config, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="was not made by `toyshift run quickstart`"):
        main(dataclasses.replace(config, out=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_odd_number_of_planted_demonstrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--planted-episodes is 3; two sides take an even number"):
        Config(out=tmp_path, planted_episodes=3)
