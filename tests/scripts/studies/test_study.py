"""Studies as small as they get: cells run once, a stopped study goes on, tables follow from rows."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.scripts.studies import lego_results as study_lego_results
from toyshift.scripts.studies import mask_iou as study_mask_iou
from toyshift.scripts.studies import recipe as study_recipe
from toyshift.scripts.studies.cells import Cell, choose, duration, plan, run_cells, write_page
from toyshift.scripts.studies.lego_table import Config, LegoTable, main, set_name


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("study")
    return Config(
        out=root / "run", results=root / "results", docs=root / "docs", demos=(2,), seeds=1, steps=2, batch=4, trials=1,
        rates=(1e-3, 2e-3), tune_steps=1,
        tune_trials=1, workers=1, only=("mean-2-s0",),
    )


def test_a_cell_brings_its_search_and_a_stopped_study_goes_on(config: Config) -> None:
    first = main(dataclasses.replace(config, cells=1))
    assert first["ran"] == ["lr-mean-0.001"]
    assert first["missing"] == ["lr-mean-0.002", "mean-2-s0"]
    second = main(config)
    assert second["ran"] == ["lr-mean-0.002", "mean-2-s0"]
    made = {path: path.stat().st_mtime_ns for path in (config.results / "rows").iterdir()}
    assert main(config)["ran"] == []
    assert made == {path: path.stat().st_mtime_ns for path in (config.results / "rows").iterdir()}
    facts, rows = read_rows_manifest(config.results / "rows" / "mean-2-s0.parquet"), read_rows(
        config.results / "rows" / "mean-2-s0.parquet"
    )
    assert facts["samples"] == 8
    assert {(r.object_set, r.seed, r.policy) for r in rows} == {
        ("toys:train", 1000, "mean-2"), ("ycb-like?graspable", 1000, "mean-2")
    }
    table = json.loads((config.results / "table.json").read_text())
    assert [x["lr"] for x in table["search"]] == [1e-3, 2e-3]
    assert facts["lr"] == next(x["lr"] for x in table["search"] if x["best"])
    assert (config.docs / "lego_table.png").stat().st_size > 1000
    assert "`mean`" in (config.docs / "lego_table.md").read_text()


def test_a_longer_search_runs_cells_again_whose_best_rate_is_another_one(config: Config) -> None:
    main(config)
    study = LegoTable(config)
    cell = next(c for c in study.cells() if c.name == "mean-2-s0")
    assert study.is_done(cell)
    best, path = study.best_rate("mean"), study.path("lr-mean-0.004")
    facts = read_rows_manifest(study.path("lr-mean-0.001"))
    rows = [dataclasses.replace(r, success=True) for r in read_rows(study.path("lr-mean-0.001"))]
    write_rows(path, rows * 2, facts | {"lr": 4e-3})  # as if a try had succeeded more often
    assert study.best_rate("mean") == 4e-3 != best
    assert not study.is_done(cell)
    path.unlink()
    assert study.is_done(cell)


def test_other_settings_in_the_same_folder_are_refused(config: Config) -> None:
    main(dataclasses.replace(config, only=("lr-mean-0.001",)))
    with pytest.raises(ConfigError, match=r"another configuration \(steps: 3 now, 2 there\)"):
        main(dataclasses.replace(config, steps=3))


def test_the_grid_holds_what_the_budget_says() -> None:
    study = LegoTable(Config())
    names = [cell.name for cell in study.cells()]
    assert len(names) == 2 + 5 * 4 + 5 * 2 * 3
    assert names[2 + 5 * 4] == "detpool-1000-s0"  # one seed of every pooling with all demonstrations first
    assert study.same == {"detpool-post": "detpool"}  # no attention in a conv encoder
    vit = LegoTable(Config(encoder="vit-tiny"))
    assert vit.same == {}
    assert "detpool-post-250-s2" in vit.kinds
    paper = LegoTable(Config(budget="paper"))
    assert len(paper.cells()) == 2 + 8 * 3 + 8 * 6 * 3
    assert paper.recipe("box", "d", "o", 1, 1e-4).policy.policy_net == "transformer-base"


def test_a_pooling_that_the_encoder_cannot_have_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="mask-channel"):
        LegoTable(Config(budget="paper", encoder_weights="mvp:w.safetensors", freeze_encoder=True))
    poolings = ("detpool", "mean")
    assert len(LegoTable(
        Config(budget="paper", encoder_weights="mvp:w.safetensors", freeze_encoder=True, poolings=poolings)
    ).cells()) == 2 + 2 * 3 + 2 * 6 * 3


def test_dry_run_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = main(Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", dry_run=True))
    assert len(found["missing"]) == 52
    assert "52 of 52 cells to run" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def row(pooling: str, spec: str, seed: int, episode: int, success: bool) -> Row:
    return Row(
        f"{pooling}-1000", pooling, spec, f"object{episode % 4}", seed, episode, success, 0.3, 10,
        "" if success else "dropped", "", 0.1
    )


def test_table_of_known_rows() -> None:
    cells = []
    for seed in (0, 1, 2):
        for pooling, wins in (("detpool", 8), ("mean", 1)):
            rows = [row(pooling, spec, 1000 + seed, i, i < wins) for spec in ("toys:train", "ycb") for i in range(10)]
            cells.append(
                ({"pooling": pooling, "demos": 1000, "training_seed": seed, "searched": False, "lr": 1e-3}, rows)
            )
    table = study_lego_results.tabulate(cells)
    line = {(x["pooling"], x["set"]): x for x in table["success"]}[("detpool", "ycb")]
    assert (line["n"], line["k"], line["rate"], line["by_seed"]) == (30, 24, 0.8, [0.8, 0.8, 0.8])
    low, high = line["wilson_95"]
    assert (low, high) == pytest.approx((0.627, 0.905), abs=1e-3)  # Wilson's interval of 24 in 30
    assert line["clustered_seeds_95"][0] < low  # three seeds know less than thirty episodes
    difference = next(x for x in table["differences"] if x["set"] == "ycb")
    assert difference["by_object"]["value"] == pytest.approx(0.7)
    assert difference["by_seed"]["n"] == 3
    assert difference["n"] == 30
    assert table["undertrained"] == ["mean, 1000 demonstrations"]


def test_cells_are_chosen_by_pattern_and_limited() -> None:
    cells = [Cell("a-1", "", 1.0), Cell("b-1", "", 1.0, ("a-1",)), Cell("b-2", "", 1.0)]
    assert [c.name for c in choose(cells, ["b-1"])] == ["a-1", "b-1"]
    assert [c.name for c in choose(cells, [])] == ["a-1", "b-1", "b-2"]
    with pytest.raises(UnknownNameError, match="b-3"):
        choose(cells, ["b-3"])


def test_a_cell_that_fails_is_not_counted(tmp_path: Path) -> None:
    done: set[str] = set()

    def run(cell: Cell) -> None:
        if cell.name == "b":
            raise ConfigError("no")
        done.add(cell.name)

    cells = [Cell(name, "", 1.0) for name in "abc"]
    with pytest.raises(ConfigError):
        run_cells(cells, run, lambda c: c.name in done, tmp_path / "clock.json")
    assert list(json.loads((tmp_path / "clock.json").read_text())) == ["a"]
    assert [duration(s) for s in (5, 600, 36000)] == ["5 s", "10 min", "10.0 h"]


def test_times_are_unknown_until_something_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells, clock = [Cell("a", "", 1.0), Cell("b", "", 3.0)], tmp_path / "clock.json"
    assert plan(cells, lambda c: False, clock, math.nan)["seconds_left"] is None
    assert "an unknown time" in capsys.readouterr().out
    clock.write_text('{"a": 50.0}')
    assert plan(cells, lambda c: c.name == "a", clock, math.nan)["seconds_left"] == 150


def test_only_the_part_between_the_lines_of_a_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<b>\nold\n<e>\nafter\n")
    write_page(page, "<b>", "<e>", "new")
    assert page.read_text() == "before\n<b>\nnew\n<e>\nafter\n"


def test_sets_go_by_their_names() -> None:
    assert [set_name(s) for s in ("toys:train", "ycb-like?graspable", "ycb:../shared/ycb?graspable")] == [
        "toys:train", "ycb-like", "ycb"
    ]


def test_mask_iou_on_a_policy(config: Config, tmp_path: Path) -> None:
    main(dataclasses.replace(config, only=("lr-mean-0.001",)))
    policy = str(config.out / "policies" / "lr-mean-0.001")
    study = study_mask_iou.Config(
        policy=(policy,), objects="toys:train", levels=(0, 5), trials=1, out=tmp_path / "run",
        results=tmp_path / "results", docs=tmp_path / "docs", workers=1
    )
    first = study_mask_iou.main(dataclasses.replace(study, cells=1))
    assert first["missing"] == ["lr-mean-0.001-toys-train-5"]
    study_mask_iou.main(study)
    table = study_mask_iou.main(dataclasses.replace(study, policy=(), tabulate=True))
    assert [(x["level"], x["iou"], x["n"]) for x in table["rows"]] == [(0, 1.0, 1), (5, 0.3, 1)]
    assert table["rows"][1]["minus_true_masks"]["difference"]["value"] == 0.0  # mean pooling sees no mask
    assert (tmp_path / "docs" / "mask_iou.png").exists()


def test_the_recipe_plays_with_both_kinds_of_toys_and_is_tabulated(tmp_path: Path) -> None:
    config = study_recipe.Config(
        seeds=2, demos=2, steps=2, batch=4, trials=1, out=tmp_path / "run", results=tmp_path / "results",
        docs=tmp_path / "docs", workers=1, cells=1
    )
    first = study_recipe.main(config)
    assert first["ran"] == ["s0"]
    assert first["missing"] == ["s1"]
    rows = read_rows(config.results / "rows" / "s0.parquet")
    assert {(r.policy, r.object_set) for r in rows} == {
        ("recipe", name) for name in ("training toys", "new toys", "YCB-like")
    }
    played = [open_dataset(config.out / "s0" / name).episode(0, ["action"]).meta["object_set"] for name in (
        "toys", "household"
    )]
    assert played == ["toys:train", "toys:train?of=household&n=500"]
    assert first["table"]["success"][0]["n"] == 1
    assert "| recipe | YCB-like | 1 |" in (config.docs / "recipe.md").read_text()
    again = study_recipe.main(dataclasses.replace(config, tabulate=True))
    assert again["table"] == first["table"]
    with pytest.raises(ConfigError, match=r"another configuration \(steps: 3 now, 2 there\)"):
        study_recipe.main(dataclasses.replace(config, steps=3))
