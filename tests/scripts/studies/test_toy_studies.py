"""The studies of toys: nested sets and demonstrations, equal samples, pages that say what planted rows hold."""

import dataclasses
import functools
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit

import toyshift.diagnostics
import toyshift.policies
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.manifest import manifest
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics import EvaluateConfig, Row, read_rows, read_rows_manifest, write_rows
from toyshift.scripts.recipe import quickstart_recipe
from toyshift.scripts.studies import leave_one_out, toy_complexity, toys_scaling, toys_scaling_results
from toyshift.scripts.studies.cells import TEST_SEED
from toyshift.scripts.studies.leave_one_out import LeaveOneOut
from toyshift.scripts.studies.planted import COLLECTING
from toyshift.scripts.studies.toy_complexity import ToyComplexity
from toyshift.scripts.studies.toy_sets import ToyCell, ToyStudy, direction
from toyshift.scripts.studies.toys_scaling import Config, ToysScaling, main
from toyshift.toys import load_objects

STUDIES: list[Callable[[], ToyStudy]] = [
    lambda: ToysScaling(Config(sizes=("5.7M", "22M"))), lambda: ToysScaling(Config(budget="paper")),
    lambda: LeaveOneOut(leave_one_out.Config()), lambda: ToyComplexity(toy_complexity.Config()),
]  # fmt: skip


# ---------------------------------------------------------------- the plan


def test_the_small_plans_fit_three_hours_of_one_core() -> None:
    study = ToysScaling(Config(workers=1))
    assert list(study.kinds)[:3] == ["t1-d25-s0", "t1-d250-s0", "t1-d1000-s0"]
    grid = {(kind.toys, kind.demos) for kind in study.kinds.values()}
    whole = itertools.product((1, 5, 25, 250), (25, 250, 1000))
    assert grid == {*whole} - {(250, 25), (5, 1000)}  # 250 toys need 250 demonstrations
    assert {(k.toys, k.demos) for k in ToysScaling(Config(demos=(1000,))).kinds.values()} >= {(5, 1000)}
    others = LeaveOneOut(leave_one_out.Config(workers=1)), ToyComplexity(toy_complexity.Config(workers=1))
    for made, seeds, cells in ((study, 3, 10), (others[0], 2, 5), (others[1], 2, 9)):
        assert {kind.seed for kind in made.kinds.values()} == set(range(seeds))
        assert len(made.kinds) == seeds * cells
        assert sum(cell.estimate for cell in made.cells()) < 3 * 3600


def test_the_paper_s_plan_is_the_whole_grid() -> None:
    kinds = ToysScaling(Config(budget="paper")).kinds.values()
    plain = {(kind.toys, kind.demos) for kind in kinds if not kind.size}
    toys, demos = (1, 5, 25, 125, 250, 1000), (25, 100, 250, 1000, 2500)
    assert plain == {(t, d) for t in toys for d in demos if t <= d}
    assert {(kind.size, kind.toys) for kind in kinds if kind.size} == {("5.7M", 250), ("22M", 250)}


def test_what_is_collected_is_estimated_once() -> None:
    study = ToysScaling(Config(seeds=1, demos=(25, 100, 250), workers=1))
    estimates = {cell.name: cell.estimate for cell in study.cells()}
    few, more = estimates["t5-d100-s0"], estimates["t5-d250-s0"]
    assert more - few == pytest.approx(COLLECTING * ((250 - 100) - (100 - 25)))  # each what the one before has not


@pytest.mark.parametrize("made", STUDIES)
def test_all_policies_of_a_study_see_as_many_samples(made: Callable[[], ToyStudy]) -> None:
    study = made()
    recipes = [study.recipe(kind, Path("data"), Path("out")) for kind in study.kinds.values()]
    assert len({recipe.steps * recipe.batch_size for recipe in recipes}) == 1
    assert {recipe.seed for recipe in recipes} == set(range(study.grid.seeds))


def test_policies_are_the_quickstart_s_but_for_larger_ones() -> None:
    study = ToysScaling(Config(sizes=("22M",), seed=3))
    usual = study.recipe(ToyCell("lego", 5, 100, 1), Path("data"), Path("out"))
    assert usual == quickstart_recipe("detpool", ("data",), "out", 1100, 128, 4)
    large = study.recipe(study.kinds["t250-d1000-22M-s1"], Path("data"), Path("out"))
    assert (large.policy.policy_net, large.policy.pooling) == ("transformer-small", "detpool")
    assert large.caches_tokens
    assert (large.steps, large.batch_size, large.seed) == (usual.steps, usual.batch_size, usual.seed)


def test_small_sets_are_the_first_toys_of_large_ones_and_seeds_have_their_own() -> None:
    def ids(toys: int, seed: int) -> tuple[str, ...]:
        return tuple(load_objects(ToyCell("lego", toys, 100, seed).objects(0)).ids)

    assert ids(5, 1)[:1] == ids(1, 1)
    assert ids(8, 1)[:5] == ids(5, 1)
    assert not set(ids(5, 0)) & set(ids(5, 1))
    assert not set(ids(8, 1)) & set(load_objects("toys:test?n=20").ids)


def test_toys_are_left_out_by_kind_and_by_number_of_parts() -> None:
    named = {kind.distribution for kind in LeaveOneOut(leave_one_out.Config()).kinds.values()}
    assert named == {"lego", *(f"without-{k}" for k in ("sphere", "cuboid", "cylinder", "ring"))}
    named = {kind.distribution for kind in ToyComplexity(toy_complexity.Config()).kinds.values()}
    assert named == {"lego", *(f"only-{k}" for k in range(1, 6)), *(f"without-{k}" for k in range(1, 4))}
    named = {kind.distribution for kind in ToyComplexity(toy_complexity.Config(budget="paper")).kinds.values()}
    assert named == {"lego", *(f"{word}-{k}" for word in ("only", "without") for k in range(1, 6))}
    toys = load_objects("toys:train?of=without-2&n=12")
    assert 2 not in {len(toys.toy(name).primitives) for name in toys.ids}  # type: ignore[attr-defined]


# ---------------------------------------------------------------- running


@pytest.fixture
def tiny(tmp_path: Path) -> Config:
    return Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", toys=(1, 2), demos=(2, 3), seeds=1,
        steps=2, batch=4, trials=1, workers=1, only=("t2-d3-*",), allow_dirty=True,
    )


@pytest.mark.usefixtures("works_here")
def test_a_cell_goes_through_the_whole_chain_and_demonstrations_are_nested(tiny: Config, tmp_path: Path) -> None:
    assert main(tiny)["ran"] == ["t2-d3-s0"]
    assert main(tiny)["ran"] == []
    few, more = (open_dataset(tiny.out / "demonstrations" / f"lego-t2-d{d}-s0") for d in (2, 3))
    assert [few.episode_digest(i) for i in range(2)] == [more.episode_digest(i) for i in range(2)]
    shutil.rmtree(tiny.out / "demonstrations" / "lego-t2-d2-s0")
    alone = dataclasses.replace(tiny, out=tmp_path / "alone", demos=(3,))
    at_once = ToysScaling(alone).demonstrations(ToyCell("lego", 2, 3, 0))
    assert open_dataset(at_once).content_hash() == more.content_hash()  # extended, it is what is collected at once
    assert tiny.results is not None
    assert tiny.docs is not None
    facts = read_rows_manifest(tiny.results / "rows" / "t2-d3-s0.parquet")
    assert facts["cell"] == {"distribution": "lego", "toys": 2, "demos": 3, "seed": 0, "size": ""}
    assert facts["samples"] == 8
    rows = read_rows(tiny.results / "rows" / "t2-d3-s0.parquet")
    assert [(r.object_set, r.seed, r.purpose) for r in rows] == [
        ("toys:test", TEST_SEED, "test"), ("ycb-like?graspable", TEST_SEED, "test")
    ]  # fmt: skip
    text = (tiny.docs / "toys_scaling.md").read_text()
    assert "too few cells or objects for a curve yet" in text
    assert (tiny.docs / "toys_scaling_toys-test.png").stat().st_size > 1000
    with pytest.raises(ConfigError, match=r"another configuration \(steps: 3 now, 2 there\)"):
        main(dataclasses.replace(tiny, steps=3))


def test_rows_of_ycb_like_objects_stay_when_real_ones_are_added(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(config: EvaluateConfig, path: Path, workers: int, pool: Any = None) -> list[Row]:
        return [row("p", config.objects, i, seed=config.seed, success=True) for i in range(config.trials)]

    monkeypatch.setattr(ToysScaling, "demonstrations", lambda self, kind: self.toy_cfg.work_dir)
    monkeypatch.setattr(
        toyshift.policies, "train", lambda recipe: {"loss": 0.0, "validation_loss": 0.0, "samples": 8}, raising=False
    )
    monkeypatch.setattr(toyshift.diagnostics, "evaluate", evaluate, raising=False)
    for config, sets in (
        (tiny, {"toys:test": 1, "ycb-like?graspable": 1}),
        (dataclasses.replace(tiny, ycb=Path("/y")), {"toys:test": 1, "ycb-like?graspable": 1, "ycb:/y?graspable": 1}),
        (dataclasses.replace(tiny, trials=3), {"toys:test": 3, "ycb-like?graspable": 3, "ycb:/y?graspable": 1}),
    ):
        study = ToysScaling(config)
        cell = next(cell for cell in study.cells() if cell.name == "t2-d2-s0")
        assert not study.is_done(cell)
        study.run(cell)
        assert study.is_done(cell)
        played = [r.object_set for r in read_rows(study.path(cell.name))]
        assert {name: played.count(name) for name in played} == sets


# ---------------------------------------------------------------- pages from planted rows


def row(policy: str, name: str, episode: int, *, seed: int, success: bool) -> Row:
    return Row(
        policy=policy, pooling="detpool", object_set=name, object_id=f"object-{episode % 28}", seed=seed,
        episode=episode, success=success, failure="" if success else "missed", max_height=0.1, steps=10, look="",
        wall_s=0.1, purpose="test",
    )  # fmt: skip


def plant(study: ToyStudy, rate: Callable[[ToyCell], float], trials: int = 84) -> None:
    """Writes rows of a study whose policies succeed at `rate`, half by what the start is and half by luck."""
    study.claim()
    for number, (name, kind) in enumerate(study.kinds.items()):
        rows = []
        for i, spec in itertools.product(range(trials), ("toys:test", "ycb:/somewhere?graspable")):
            where = (kind.seed, i, len(spec))
            luck = np.random.default_rng([*where, number] if i % 2 else where).random()
            called, seed = name.rpartition("-s")[0], TEST_SEED + kind.seed
            rows.append(row(called, spec, i, seed=seed, success=bool(luck < rate(kind))))
        write_rows(study.path(name), rows, manifest({}, 0, cell=dataclasses.asdict(kind)))


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    few = functools.partial(toys_scaling_results.fit_with_intervals, resamples=40)
    monkeypatch.setattr(toys_scaling_results, "fit_with_intervals", few)


def scaling(tmp_path: Path, rate: Callable[[ToyCell], float], **options: Any) -> tuple[dict[str, Any], str]:
    config = Config(out=tmp_path / "run", docs=tmp_path, tabulate=True, **options)
    plant(ToysScaling(config), rate)
    return main(config), (tmp_path / "toys_scaling.md").read_text()


def test_legos_leap_is_found_where_it_was_planted(tmp_path: Path) -> None:
    planted = (0.95, 2.2, 0.8, 1.2)

    def rate(kind: ToyCell) -> float:
        ceiling, gap, power, slope = planted
        return float(expit(ceiling - gap * kind.toys**-power + slope * np.log10(kind.demos / 1000)))

    table, text = scaling(tmp_path, rate)
    assert "real YCB objects, 1 to 25 toys: a gain is shown, +" in text
    assert "with 1,000 demonstrations; LEGO's +44.6." in text
    assert "new toys, 1 to 25 toys: a gain is shown" in text
    assert "LEGO's +44.6" not in next(line for line in text.splitlines() if line.startswith("- new toys, 1 to 25"))
    leap = next(x for x in table["steps"] if (x["from"]["toys"], x["to"]["toys"], x["to"]["demos"]) == (1, 25, 1000))
    assert leap["paired"]["difference"]["value"] == pytest.approx(0.47, abs=0.12)
    assert direction(leap) == 1
    fit = table["fits"]["ycb"]
    for name, truth in zip(("ceiling", "gap", "power", "slope"), planted, strict=True):
        _, low, high = fit[name]["value_low_high"]
        assert low - 0.3 < truth < high + 0.3
    known = {(x["toys"], x["demos"]): x["lego"] for x in table["success"] if x["set"] == "ycb"}
    assert (known[25, 250], known[250, 1000], known[5, 250]) == (0.495, 0.7115, None)
    assert {x["lego"] for x in table["success"] if x["set"] == "toys:test"} == {None}  # its test is YCB
    assert json.loads((tmp_path / "run" / "results" / "table.json").read_text()) == table
    assert "Not complete" not in text
    assert (tmp_path / "toys_scaling_ycb.png").stat().st_size > 5000


def test_where_toys_do_nothing_no_difference_is_shown(tmp_path: Path) -> None:
    table, text = scaling(tmp_path, lambda kind: 0.6)
    assert "real YCB objects, 1 to 25 toys: no difference is shown" in text
    assert "gain is shown" not in text
    assert not any(map(direction, table["steps"]))
    assert "these rows do not tell" in text  # the power of a curve without a gap


def test_a_loss_is_called_a_loss(tmp_path: Path) -> None:
    _, text = scaling(tmp_path, lambda kind: 0.8 if kind.toys == 1 else 0.3)
    assert "1 to 25 toys: a loss is shown, -" in text


def test_a_difference_on_which_seeds_do_not_agree_is_not_shown() -> None:
    line: dict[str, Any] = {"paired": {"difference": {"value": 0.3, "low": 0.2, "high": 0.4}}, "holm_p": 0.001}
    assert direction(line | {"by_seed": [0.2, 0.4]}) == 1
    assert direction(line | {"by_seed": [-0.1, 0.7]}) == 0
    assert direction(line | {"by_seed": [0.2, 0.4], "holm_p": 0.06}) == 0


def test_larger_policies_are_compared_with_each_other_only(tmp_path: Path) -> None:
    table, text = scaling(tmp_path, lambda kind: {"22M": 0.9, "5.7M": 0.4}.get(kind.size, 0.6), sizes=("5.7M", "22M"))
    assert {(x["from"]["size"], x["to"]["size"]) for x in table["larger"]} == {("5.7M", "22M")}
    assert all(direction(x) == 1 for x in table["larger"])
    assert {x["from"]["size"] for x in table["steps"]} == {""}
    assert table["fits"]["ycb"]["cells"] == 10
    assert "Larger policies on 250 toys" in text


def test_larger_policies_alone_make_a_page_too(tmp_path: Path) -> None:
    config = Config(out=tmp_path / "run", docs=tmp_path, tabulate=True, sizes=("5.7M",), seeds=1)
    plant(study := ToysScaling(config), lambda kind: 0.5, trials=4)
    for name, kind in study.kinds.items():
        if not kind.size:
            study.path(name).unlink()
    table = main(config)
    assert {x["size"] for x in table["success"]} == {"5.7M"}
    text = (tmp_path / "toys_scaling.md").read_text()
    assert "No two numbers of toys have been run" in text
    assert "Larger policies on 250 toys" in text


def test_missing_cells_are_counted(tmp_path: Path) -> None:
    config = Config(out=tmp_path / "run", docs=tmp_path, tabulate=True)
    plant(study := ToysScaling(config), lambda kind: 0.5, trials=4)
    study.path("t25-d1000-s1").unlink()
    main(config)
    assert "**Not complete:** 1 of the cells" in (tmp_path / "toys_scaling.md").read_text()


def test_the_primitive_that_matters_is_named_where_it_was_planted(tmp_path: Path) -> None:
    config = leave_one_out.Config(out=tmp_path / "run", docs=tmp_path, tabulate=True)
    rates = {"without-sphere": 0.25, "lego": 0.8}
    plant(LeaveOneOut(config), lambda kind: rates.get(kind.distribution, 0.75))
    leave_one_out.main(config)
    text = (tmp_path / "leave_one_out.md").read_text()
    said = next(line for line in text.splitlines() if "real YCB objects, 500 demonstrations" in line)
    assert "lowest is `without-sphere`, -" in said
    assert "shown to be below all toys; shown to be below `without-cuboid`, `without-cylinder`, `without-ring`" in said
    assert said.endswith("LEGO's lowest is `without-sphere`.")
    assert "not shown" not in said


def test_where_no_primitive_matters_none_is_named_as_shown(tmp_path: Path) -> None:
    config = leave_one_out.Config(out=tmp_path / "run", docs=tmp_path, tabulate=True)
    plant(LeaveOneOut(config), lambda kind: 0.7)
    table = leave_one_out.main(config)
    text = (tmp_path / "leave_one_out.md").read_text()
    assert text.count("not shown to differ from all toys; shown to be below none of the others") == 2
    found = {x["lego"] for x in table["success"] if (x["set"], x["distribution"]) == ("ycb", "without-ring")}
    assert found == {0.6856}


def test_complexity_looks_at_both_families(tmp_path: Path) -> None:
    config = toy_complexity.Config(out=tmp_path / "run", docs=tmp_path, tabulate=True)
    plant(ToyComplexity(config), lambda kind: {"only-5": 0.2, "without-2": 0.3}.get(kind.distribution, 0.75))
    table = toy_complexity.main(config)
    said = [line for line in (tmp_path / "toy_complexity.md").read_text().splitlines() if line.startswith("- ")]
    assert "Toys of k parts only" in said[0]
    assert "lowest is `only-5`" in said[0]
    assert "lowest is `without-2`" in said[2]
    assert len(table["changes"]) == 2 * 8
    assert (tmp_path / "toy_complexity.png").stat().st_size > 1000


def test_a_policy_that_toys_scaling_has_trained_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(recipe: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(toyshift.policies, "train", train, raising=False)
    scaling = Config(out=tmp_path / "scaling", demos=(250,), toys=(250,), seeds=1)
    plant(there := ToysScaling(scaling), lambda kind: 0.5)
    options: dict[str, Any] = {"out": tmp_path / "run", "seeds": 1, "trials": 84, "ycb": Path("/somewhere")}
    study = ToyComplexity(toy_complexity.Config(all_toys=scaling.results_dir, **options))
    cell, *others = study.cells()
    assert (cell.name, cell.estimate) == ("lego-d250-s0", 0.0)
    assert all(other.estimate > 0 for other in others)
    study.run(cell)
    taken, own = study.path(cell.name), there.path("t250-d250-s0")
    assert study.is_done(cell)
    assert [dataclasses.replace(row, policy="t250-d250") for row in read_rows(taken)] == read_rows(own)
    assert {row.policy for row in read_rows(taken)} == {"lego-d250"}
    assert read_rows_manifest(taken)["taken_from"] == own.name
    assert ToyCell(**read_rows_manifest(taken)["cell"]) == study.kinds[cell.name]
    for more, whole in (({"trials": 85}, 85), ({"all_toys": tmp_path}, 84)):  # it lacks episodes, or is not there
        other = ToyComplexity(toy_complexity.Config(**{**options, "all_toys": scaling.results_dir, **more}))
        assert other.grid.trials == whole
        assert other.there_already(other.kinds[cell.name]) is None
    with pytest.raises(ConfigError, match=r"made with other options .*steps"):
        ToyComplexity(toy_complexity.Config(all_toys=scaling.results_dir, **options, steps=7)).cells()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"toys": (25, 250), "demos": (5,)}, ConfigError, "--toys 25 250 and --demos 5"),
        ({"sizes": ("22M",), "demos": (25, 100)}, ConfigError, "--sizes are of policies on 250 toys"),
        ({"toys": (0,)}, ConfigError, "--toys must be from 1"),
        ({"demos": (-3,)}, ConfigError, "--demos must be from 1"),
        ({"seeds": 1001}, ConfigError, "--seeds"),
        ({"only": ("t7-*",), "dry_run": True}, UnknownNameError, "t7-"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type[Exception], text: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=text):
        main(Config(out=tmp_path / "run", **options))


@pytest.mark.parametrize("module", [toys_scaling, leave_one_out, toy_complexity])
def test_no_rows_are_no_table_and_a_plan_writes_nothing(module: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no rows yet"):
        module.main(module.Config(out=tmp_path / "run", tabulate=True))
    found = module.main(module.Config(out=tmp_path / "run", dry_run=True))
    assert found["missing"] == found["cells"]
    assert not list(tmp_path.iterdir())


def test_a_study_of_other_toys_does_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    config = leave_one_out.Config(out=tmp_path / "run")
    LeaveOneOut(config).claim()
    with pytest.raises(ConfigError, match=r"toys: 5 now, 250 there"):
        LeaveOneOut(dataclasses.replace(config, toys=5)).claim()
