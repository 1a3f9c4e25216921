"""The study of repairs: who takes part, at equal samples, chosen by what; planted rows both ways; it runs, goes on."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from toyshift.augment.augmentation import Around, SeenAs
from toyshift.augment.registry import AUGMENTATIONS, read_spec
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import read_json, write_json
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics import Row, evaluation, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.dsl import CUE, INSTRUCTED
from toyshift.envs.shifts import Look
from toyshift.policies import repairs
from toyshift.policies.repairs import TRAINING_REPAIRS, repairs_of
from toyshift.scripts.studies import repair as study_repair
from toyshift.scripts.studies.planted import PlantedCue
from toyshift.scripts.studies.repair import Config, RepairCell, RepairStudy, Training, played_by, steps_within, try_name
from toyshift.scripts.studies.repair_entries import BASELINES, FAMILY, every_entry
from toyshift.scripts.studies.repair_films import FilmedStart, best_repair, chosen_starts, only_repaired
from toyshift.scripts.studies.repair_results import difference, markdown, sections, sentences, tabulate

SETTINGS = {"pooling": "attention", "demos": 200, "steps": 600, "batch": 128}


# ---------------------------------------------------------------- who takes part


def test_both_tables_and_the_controls_take_part() -> None:
    entries = every_entry()
    assert tuple(entries)[:3] == BASELINES
    tables = (*AUGMENTATIONS.values(), *TRAINING_REPAIRS)
    assert entries.keys() >= {row.name for row in tables if not row.outside}
    assert {row.name for row in tables} - entries.keys() == {"instructions", "latent", "fallback"}  # none can be told
    controls = {"none", "duplicate", "toward-own", "blind", "random-upsample", "two-seeds", "clean", "oracle"}
    assert {name for name, entry in entries.items() if entry.kind == "control"} == controls
    assert entries["sam-all-steps"].all_steps
    assert "divdis-all-steps" not in entries
    assert "which factor is the cue" in entries["toward-other"].privileged
    assert entries["crop"].privileged == ""
    assert entries["dbat"].privileged


def test_a_new_row_of_a_table_is_a_new_row_of_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    new = dataclasses.replace(TRAINING_REPAIRS[0], name="fresh", control=False)
    monkeypatch.setattr(repairs, "TRAINING_REPAIRS", (*TRAINING_REPAIRS, new))
    assert every_entry()["fresh"].kind == "training"
    names = {part.entry for part in RepairStudy(Config(repairs=("fresh",))).parts.values()}
    assert names == {*BASELINES, "fresh"}


def test_the_study_fills_in_the_cue_and_the_other_data(tmp_path: Path) -> None:
    other = tmp_path / "a+b?c"
    filled = {"factor": "azimuth", "unlabelled": str(other)}
    specs = {name: entry.spec(filled) for name, entry in every_entry().items()}
    assert specs["toward-other"] == "toward-other?factor=azimuth&side=recorded"
    assert specs["toward-own"] == "toward-own?factor=azimuth"
    assert specs["erase"] == "erase?factor=azimuth"
    assert specs["hint"] == "hint"
    assert specs["none"] == ""
    (divdis,) = repairs_of(specs["divdis"])
    assert divdis.unlabelled == str(other)  # type: ignore[attr-defined]  # its key
    for entry in every_entry().values():
        if entry.augmentation:
            read_spec(entry.spec(filled))
        elif entry.repair:
            repairs_of(entry.spec(filled))


@pytest.mark.parametrize("factor", ["azimuth", "object_colour", "table"])
@pytest.mark.parametrize(("name", "told"), [("toward-own", 1.0), ("toward-other", 0.5)])
def test_copies_toward_the_other_side_leave_nothing_that_the_tested_cue_tells(
    factor: str, name: str, told: float
) -> None:
    cues = [cell.cue[0] for cell in PlantedCue(factor, 1.0, 1.0).cells() if not cell.swapped]
    whole = [int(cue) if factor != "azimuth" else cue for cue in cues]
    looks = tuple((Look().changed(factor, value),) * 4 for value in whole)
    (step,) = read_spec(every_entry()[name].spec({"factor": factor}))
    shown: list[tuple[int, float]] = []  # of which side, and under which look
    for own in (0, 1):
        around = Around(own, ("left", "right"), looks, factor)
        step.check(around)
        copies = [step.see(SeenAs(looks[own][0]), around, episode_rng(0, i, str(own))) for i in range(50)]
        shown += [(own, getattr(one.look, factor)) for one in (*copies, *[SeenAs(looks[own][0])] * 50)]
    for own, cue in enumerate(whole):
        of = [side == own for side, value in shown if value == cue]
        assert sum(of) / len(of) == told
    new = {value for _, value in shown} - {*whole}
    assert bool(new) == (name == "toward-own")


def test_a_natural_shortcut_has_no_rows_of_what_needs_several_sub_datasets() -> None:
    parts = RepairStudy(Config(beds=("natural",), seeds=1)).parts.values()
    played = {part.entry for part in parts if part.bed == "natural"}
    assert not played & {"toward-own", "toward-other", "bridge", "object-swap", "erase"}
    assert played >= {"none", "duplicate", "appearance", "hint", "clean", "oracle"}
    assert {part.entry for part in parts} == played  # nor a search of their rates


# ---------------------------------------------------------------- at equal samples, chosen by what


@pytest.mark.parametrize("steps", [60, 600])
@pytest.mark.parametrize("name", [name for name, entry in every_entry().items() if entry.trained])
def test_everyone_has_the_same_gradient_samples(name: str, steps: int, tmp_path: Path) -> None:
    entry = every_entry()[name]
    filled = {"factor": "table", "unlabelled": str(tmp_path)}
    ask = Training("attention", ("a", "b"), 1e-3, 128, 0, 1)
    planned = ask.plan(entry, entry.spec(filled) if entry.repair else "", steps, tmp_path / "cell")
    own = sum(config.steps for config in planned.configs)
    if entry.all_steps:
        assert (own, planned.passes) == (steps, 2 * steps)
        return
    assert steps - 3 < planned.passes <= steps
    shares = {"sam": 1 / 2, "divdis": 1 / 2, "dbat": 1 / 3, "useful": 1 / 1.08}
    assert own == pytest.approx(shares.get(name, 1.0) * steps, abs=1.01)
    if name in ("erase", "two-seeds"):
        assert [config.steps for config in planned.configs] == [steps // 2, steps // 2]
    assert len({config.lr for config in planned.configs}) == 1


def test_two_seeds_start_apart_and_everyone_else_alike(tmp_path: Path) -> None:
    ask = Training("attention", ("a", "b"), 1e-3, 128, 5, 1)
    entries = every_entry()
    two = ask.plan(entries["two-seeds"], "", 60, tmp_path).configs
    assert two[0].seed == 5 != two[1].seed
    plain, sam = (ask.plan(entries[name], spec, 60, tmp_path).configs[0] for name, spec in (("none", ""), ("sam",) * 2))
    assert dataclasses.replace(sam, repair="", steps=plain.steps) == plain


def test_steps_within_a_budget() -> None:
    assert steps_within(600, lambda n: 3 * n) == 200
    assert steps_within(600, lambda n: n + round(0.08 * n)) == 556
    assert steps_within(600, lambda n: 300 + n) == 300
    assert steps_within(2, lambda n: 3 * n) == 1


def test_rates_are_chosen_in_distribution_on_the_cue_that_is_not_reported(tmp_path: Path) -> None:
    study = RepairStudy(Config(out=tmp_path))
    tries = [part for part in study.parts.values() if part.tried]
    assert {part.bed for part in tries} == {"table"}
    assert {part.seed for part in tries} == {0}
    assert "table" not in {part.bed for part in study.parts.values() if not part.tried}
    (count,) = {sum(part.entry == name for part in tries) for name in study.entries if name != "oracle"}
    assert count == len(study.cfg.rates)
    assert played_by(tries[0], 7) == {}  # by the loss on held-out demonstrations alone
    reported = played_by(RepairCell("none", "azimuth"), 7)
    assert [test["cell"].swapped for test in reported.values()] == [False, True, False, True]


def test_the_best_rate_is_that_of_the_lowest_loss_on_held_out_demonstrations(tmp_path: Path) -> None:
    study = RepairStudy(Config(out=tmp_path, repairs=("none",), seeds=1, rates=(0.1, 0.2, 0.3)))
    rows = planted("none", PlantedCue("table", 1.0, 1.0), 0)
    for i, loss in enumerate([0.4, 0.5, 0.3], 1):
        write_rows(study.path(try_name("none", i)), [], {"lr": study.cfg.rates[i - 1], "validation_loss": loss})
    part = study.parts["azimuth-none-s0"]
    assert study.rate(part) == 0.3
    cell = next(cell for cell in study.cells() if cell.name == "azimuth-none-s0")
    write_rows(study.path(cell.name), rows, {"lr": 0.2})
    assert not study.is_done(cell)  # learnt at what is not the best rate
    write_rows(study.path(cell.name), rows, {"lr": 0.3})
    assert study.is_done(cell)


# ---------------------------------------------------------------- planted rows


def planted(name: str, cue: PlantedCue, follows: int, seed: int = 0, trials: int = 20, lost: int = 0) -> list[Row]:
    """Rows of a policy that goes to the cue's place in `follows` of the episodes of each swapped cell, and misses.

    In `lost` of those of each other cell it misses too.
    """
    return [
        Row(
            policy=name, pooling="attention", object_set="toys:train", object_id=f"toy-{i}", seed=seed, episode=i,
            success=i >= (follows if cell.swapped else lost), failure="", steps=10, max_height=0.1, wall_s=0.1,
            look=cell.label, approached=CUE if cell.swapped and i < follows else INSTRUCTED,
        )
        for cell in cue.cells() for i in range(trials)
    ]  # fmt: skip


Cells = list[tuple[dict[str, Any], list[Row]]]


def cells_of(follows: Mapping[str, int], bed: str = "azimuth", lost: Mapping[str, int] | None = None) -> Cells:
    """Cells of two seeds, by entry how many swapped episodes of twenty follow the cue."""
    entries = every_entry()
    return [
        (
            {"part": RepairCell(name, bed, seed)._asdict(), "entry": dataclasses.asdict(entries[name]),
             "disparity": 1.0, "lr": 0.01, "train_seconds": 100.0 + seed},
            planted(name, PlantedCue(bed, 1.0, 1.0), k, seed, lost=(lost or {}).get(name, 0)),
        )
        for name, k in follows.items() for seed in range(2)
    ]  # fmt: skip


def told(cells: Cells, missing: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    table = tabulate(cells) | {"missing": [*missing], "settings": SETTINGS}
    return table, "\n".join(sentences(table))


BASE = {"none": 16, "duplicate": 16, "toward-own": 15}


def test_a_repair_that_repairs_is_named_with_its_numbers() -> None:
    table, text = told(cells_of({**BASE, "toward-other": 2, "hint": 16}))
    assert "Repairs that halve DSL, with success with the cue swapped above" in text
    assert "`toward-other` on the viewpoint +70" in text
    assert "DSL 0.12 of `none`'s" in text
    assert "privileged: simulator states, several sub-datasets; which factor is the cue" in text
    assert "`hint` on" not in text
    assert "minus that of `toward-own` with the cue swapped: +65" in text
    assert "more, as the theory says" in text
    line = next(x for x in table["rows"] if x["entry"] == "toward-other")
    assert line["ood"]["value"] == pytest.approx(0.9)
    assert line["dsl"]["value"] == pytest.approx(0.1)
    assert line["by_chance"]["value"] == 0.0
    assert line["id"]["value"] == 1.0
    found = line["against"]["none"]["ood"]
    assert (found["value"], found["n"], found["objects"]) == (pytest.approx(0.7), 80, 20)
    assert found["by_seed"] == [pytest.approx(0.7)] * 2
    assert found["holm_p"] == pytest.approx(6 * found["p"])  # six comparisons of two repairs, the smallest p first
    assert line["train_seconds"] == 100.5


def test_one_that_does_not_is_told_as_well() -> None:
    table, text = told(cells_of(dict.fromkeys(BASE, 6) | {"toward-other": 20, "hint": 6}))
    assert "None of 2 rows of repairs halves DSL" in text
    assert "Worse with the cue otherwise than one of the three, Holm p < 0.05: on the viewpoint `toward-other`." in text
    assert "less, against what the theory says" in text
    assert {x["entry"] for x in table["rows"]} == {*BASE, "toward-other", "hint"}  # negative rows stay


def test_a_gain_that_does_not_halve_the_degree_is_told_apart() -> None:
    _, text = told(cells_of({**BASE, "hint": 9}))
    assert "None of 1 rows of repairs halves DSL" in text
    assert "Do not halve DSL, but have" in text
    assert "`hint` on the viewpoint +35" in text


def test_what_is_not_sure_to_be_half_says_so() -> None:
    _, text = told(cells_of({**BASE, "hint": 2, "sam": 6}))
    halved = next(line for line in text.splitlines() if line.startswith("Repairs that halve DSL"))
    hint, sam = halved.split("`sam` on the viewpoint")
    assert "not sure" not in hint
    assert "reaches above 0.5: not sure to be half)" in sam


def test_where_there_is_no_shortcut_nothing_is_halved() -> None:
    # all miss with the cue swapped, but none goes where it tells
    cells = [
        (facts, [dataclasses.replace(row, approached="neither") if row.approached == CUE else row for row in rows])
        for facts, rows in cells_of({**BASE, "hint": 2})
    ]
    _, text = told(cells)
    assert "no shortcut on azimuth was shown" in text
    assert "halve" not in text
    assert "Have success with the cue swapped above" in text
    assert "no DSL is compared" in text
    assert "`hint` on the viewpoint +70" in text


@pytest.mark.parametrize("weak", ["none", "hint"])
def test_of_what_is_incapable_nothing_is_halved(weak: str) -> None:
    _, text = told(cells_of({**BASE, "hint": 2}, lost={weak: 18}))
    assert "Repairs that halve DSL" not in text
    assert "no DSL is compared" in text
    assert ("None of 1 rows" in text) == (weak == "hint")


def test_a_few_episodes_more_are_no_finding() -> None:
    _, text = told(cells_of({**BASE, "toward-other": 15, "hint": 15}))
    assert "None of 2" in text
    assert "neither shown to be more nor less" in text
    assert "Worse" not in text


def test_what_a_repair_costs_is_told_and_who_is_incapable() -> None:
    cells = cells_of({**BASE, "hint": 16, "sam": 16}, lost={"hint": 8, "sam": 18})
    table, text = told(cells, missing=["a", "b"])
    assert "Cost with nothing swapped, in points against `none` (interval below 0): " in text
    assert "`hint` on the viewpoint -40" in text
    assert "Incapable, below 20 % with nothing swapped (their DSL says nothing): on the viewpoint `sam`." in text
    assert "**Not complete:** 2 cells" in text
    page = markdown(table)
    assert "| `sam` | training | 10 (" in page
    assert page.count("| `none` | control |") == 1


def test_a_control_is_no_repair_and_in_no_family() -> None:
    table, text = told(cells_of({**BASE, "clean": 0, "hint": 16}))
    assert "None of 1 rows of repairs" in text
    assert "`clean`, the ceiling, 100 (" in text
    clean = next(x for x in table["rows"] if x["entry"] == "clean")
    assert "holm_p" not in clean["against"]["none"]["ood"]
    assert clean["against"]["none"]["ood"]["value"] == pytest.approx(0.8)


def test_without_the_baselines_nobody_repairs() -> None:
    _, text = told(cells_of({"none": 16, "hint": 0}))
    assert "What there is to repair on the viewpoint, of `none`: success 100 (" in text
    assert "shortcut on azimuth" in text
    assert "halves DSL" not in text  # not compared with all three


def test_what_cannot_be_had_is_a_row_with_its_reason() -> None:
    cells = cells_of(BASE)
    facts = cells[0][0] | {"part": RepairCell("bridge", "azimuth")._asdict(), "refused": "there is nothing to bridge"}
    facts["entry"] = dataclasses.asdict(every_entry()["bridge"])
    table, text = told([*cells, (facts, [])])
    assert "Not to be had of these data: `bridge` on the viewpoint: there is nothing to bridge." in text
    assert "`bridge`" not in markdown(table | {"search": []}).split("###", 1)[1]


def test_pairs_are_starts_of_one_seed_and_cell() -> None:
    cue = PlantedCue("table", 1.0, 1.0)
    one, other = planted("a", cue, 0), planted("b", cue, 0, seed=1)
    assert difference(one, other) is None
    same = difference(one, one)
    assert same is not None
    assert (same["value"], same["n"], same["objects"], same["p"], same["by_seed"]) == (0.0, 80, 20, 1.0, [0.0])


def test_a_natural_shortcut_is_told_by_tables() -> None:
    def rows(name: str, won: int) -> list[Row]:
        look = planted(name, PlantedCue("table", 1.0, 1.0), 0)[:20]
        plain = [dataclasses.replace(row, look="", approached="") for row in look]
        shifted = [dataclasses.replace(r, shift="table-texture=5", success=i < won) for i, r in enumerate(plain)]
        other = [dataclasses.replace(r, look="table=1|2", success=i < 5) for i, r in enumerate(plain)]
        return [*plain, *shifted, *other]

    entries = every_entry()
    cells = [
        ({"part": RepairCell(name, "natural")._asdict(), "entry": dataclasses.asdict(entries[name])}, rows(name, k))
        for name, k in (("none", 4), ("duplicate", 4), ("appearance", 18))
    ]
    table, text = told(cells)
    assert "above `none` and `duplicate`, Holm p < 0.05 each (1 rows of repairs): `appearance` +70" in text
    assert "halves DSL" not in text
    line = next(x for x in table["rows"] if x["entry"] == "appearance")
    assert [line[what]["value"] for what in ("id", "ood", "elsewhere")] == [1.0, 0.9, 0.25]
    assert line["dsl"] is None
    assert line["against"]["none"]["ood"]["value"] == pytest.approx(0.7)
    assert "One table in training" in markdown(table)


# ---------------------------------------------------------------- films


def test_the_best_repair_is_filmed_where_only_it_wins() -> None:
    found = sections(tabulate(cells_of({**BASE, "clean": 0, "hint": 12, "sam": 8})) | {"missing": [], "settings": {}})
    best = best_repair(found, "azimuth")
    assert best is not None
    assert best[0] == "sam"  # furthest above none of what is no control
    assert best_repair(found, "object_colour") is None
    rows = planted("none", PlantedCue("azimuth", 1.0, 1.0), 20)[20:24]  # all miss
    won = [dataclasses.replace(row, success=i in (1, 2)) for i, row in enumerate(rows)]
    starts = [FilmedStart(0, before, after) for before, after in zip(rows, won, strict=True)]
    assert [only_repaired(x) for x in chosen_starts(starts, most=3)] == [True, True, False]
    same = [dataclasses.replace(x.before, object_id="toy") for x in starts]
    twice = [FilmedStart(0, same[1], won[1]), FilmedStart(0, same[2], won[2]), starts[3]._replace(after=won[1])]
    assert [x.before.object_id for x in chosen_starts(twice, most=2)] == ["toy", starts[3].before.object_id]


# ---------------------------------------------------------------- bad input, and all of it


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"repairs": ("samm",)}, "unknown repair 'samm'. Did you mean 'sam'"),
        ({"repairs": ("hint?of=place",)}, "unknown repair 'hint\\?of=place'. Did you mean 'hint'"),
        ({"rates": ()}, "--rates must be different numbers above 0"),
        ({"rates": (0.1, 0.1)}, "--rates must be different numbers above 0"),
        ({"demos": 3}, "--demos is 3"),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        Config(**wrong)


def test_rows_of_other_settings_make_no_table(tmp_path: Path) -> None:
    config = Config(out=tmp_path, results=tmp_path / "results")
    write_json(tmp_path / "results" / "settings.json", {"settings": config.settings() | {"steps": 1}})
    with pytest.raises(ConfigError, match="steps: 600 now, 1 there"):
        RepairStudy(config).tabulate()


def test_how_many_there_are_is_no_setting() -> None:
    fewer = Config(repairs=("hint",), seeds=1, beds=("azimuth",))
    assert fewer.settings() == Config().settings()
    assert Config(steps=7).settings() != Config().settings()


def test_a_cell_that_cannot_be_had_is_done_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_repair, "refusal_of_data", lambda spec, source: f"{spec}: there is nothing to bridge")
    monkeypatch.setattr(RepairStudy, "shown", lambda self, part, clean: tmp_path)
    config = Config(out=tmp_path, repairs=("bridge",), beds=("azimuth",), seeds=1, rates=(0.1,), allow_dirty=True)
    study = RepairStudy(config)
    study.check()
    cells = {cell.name: cell for cell in study.cells() if "bridge" in cell.name}
    assert [*cells] == ["try-bridge-1", "azimuth-bridge-s0"]
    for cell in cells.values():
        assert not study.is_done(cell)
        study.run(cell)
        assert study.is_done(cell)
        assert read_rows(study.path(cell.name)) == []
    facts = read_rows_manifest(study.path("azimuth-bridge-s0"))
    assert facts["refused"] == "bridge?factor=azimuth: there is nothing to bridge"
    assert "Not to be had of these data: `bridge`" in "".join(study.tabulate()["says"])


@pytest.mark.usefixtures("works_here")
@pytest.mark.parametrize(
    ("follows", "lost", "why"),
    [(16, 0, ""), (0, 0, "`none` shows no shortcut"), (16, 14, "`none` lifts 30 % with nothing swapped")],
)
def test_a_shortcut_that_is_not_there_is_not_repaired(tmp_path: Path, follows: int, lost: int, why: str) -> None:
    config = Config(out=tmp_path, repairs=("hint",), seeds=2, rates=(0.1,), beds=("azimuth",))
    study = RepairStudy(config)
    first, *_ = (name for name, part in study.parts.items() if not part.tried)
    assert first == study.gate("azimuth") == "azimuth-none-s0"
    waiting = next(cell for cell in study.cells() if cell.name == "azimuth-hint-s1")
    assert first in waiting.needs
    assert not study.is_done(waiting)
    write_rows(study.path(try_name("none", 1)), [], {"lr": 0.1, "validation_loss": 0.2})
    cue = PlantedCue("azimuth", 1.0, 1.0)
    facts = {"part": study.parts[first]._asdict(), "disparity": 1.0, "lr": 0.1}
    write_rows(study.path(first), planted("none", cue, follows, lost=lost), facts)
    assert study.closed("azimuth").startswith(why)
    assert bool(study.closed("azimuth")) == bool(why) == study.is_done(waiting)
    assert not RepairStudy(dataclasses.replace(config, anyway=True)).is_done(waiting)


def test_small_has_three_seeds_of_a_family_that_was_fixed_before() -> None:
    study = RepairStudy(Config(out=Path("unused")))
    for bed, entry in itertools.product(("azimuth", "object_colour"), study.entries.values()):
        own = bed, entry.name, 0
        seeds = [part.seed for part in study.parts.values() if (part.bed, part.entry, part.tried) == own]
        whole = entry.name in FAMILY and not entry.null(bed)
        assert seeds == ([0, 1, 2] if whole else [0]), (bed, entry.name)
    assert every_entry()["viewpoint"].null("object_colour")
    assert not every_entry()["viewpoint"].null("azimuth")
    assert {"none", "duplicate", "toward-own"} <= FAMILY <= {*every_entry()}


def test_it_runs_is_interrupted_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {name: every_entry()[name] for name in ("none", "toward-other")}
    monkeypatch.setattr(study_repair, "chosen_entries", lambda names: entries)
    config = Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", demos=4, seeds=1, steps=4, batch=4,
        trials=1, search_steps=2, rates=(1e-3,), beds=("object_colour",), workers=1, allow_dirty=True, anyway=True,
    )
    played = 0
    evaluate = evaluation.evaluate

    @functools.wraps(evaluate)
    def interrupted(*given: Any, **more: Any) -> Any:
        nonlocal played
        played += 1
        if played == 5:  # none has played its four cells
            raise KeyboardInterrupt
        return evaluate(*given, **more)

    monkeypatch.setattr("toyshift.diagnostics.evaluate", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt):
        study_repair.main(config)
    monkeypatch.undo()
    monkeypatch.setattr(study_repair, "chosen_entries", lambda names: entries)
    monkeypatch.setattr("toyshift.diagnostics.video.SHOW", {"cameras": ("front",)})  # not in high quality
    monkeypatch.setattr("toyshift.scripts.studies.repair_films.MOST", 1)
    rest = study_repair.main(config)
    assert rest["ran"] == ["object_colour-toward-other-s0"]
    clips = tmp_path / "results" / "clips"
    assert read_json(clips / "clips.json")["films"] == rest["films"]
    [film] = rest["films"]
    assert film["title"] == "The object's colour: toward-other beside none"
    films = [clips / film[side]["file"] for side in ("before", "after")]
    made = [path.stat().st_mtime_ns for path in films]
    assert study_repair.main(config)["ran"] == []
    assert [path.stat().st_mtime_ns for path in films] == made
    rows = tmp_path / "results" / "rows"
    assert read_rows(rows / "try-none-1.parquet") == []
    assert read_rows_manifest(rows / "try-none-1.parquet")["validation_loss"] > 0
    facts = {name: read_rows_manifest(rows / f"object_colour-{name}-s0.parquet") for name in entries}
    assert {name: fact["steps"] for name, fact in facts.items()} == {"none": [4], "toward-other": [4]}
    assert {fact["passes"] for fact in facts.values()} == {4}
    assert facts["toward-other"]["spec"] == "toward-other?factor=object_colour&side=recorded"
    assert facts["toward-other"]["episodes"] == 8
    of_reported = [read_rows(rows / f"object_colour-{name}-s0.parquet") for name in entries]
    starts = [[(row.look, row.seed, row.episode, row.object_id) for row in some] for some in of_reported]
    assert starts[0] == starts[1]
    assert not [path for path in (tmp_path / "run" / "data").iterdir() if path.is_dir()]  # made again when needed
    dressed = tmp_path / "run" / "demos" / "object_colour-s0"
    assert study_repair.refusal_of_data("toward-other?factor=object_colour", dressed) == ""
    assert "its own side holds no new look" in study_repair.refusal_of_data("toward-own?side=recorded", dressed)
    table = json.loads((tmp_path / "results" / "table.json").read_text())
    assert [x["repair"] for x in table["success"]] == [*entries]
    assert {(x["repair"], x["minus"], x["played"]) for x in table["differences"]} == {
        ("toward-other", "none", what) for what in ("id", "ood")
    }  # fmt: skip
    assert [(x["repair"], x["best"]) for x in table["search"]] == [(name, True) for name in entries]
    assert "### The object's colour" in (tmp_path / "docs" / "repair.md").read_text()
    assert (tmp_path / "docs" / "repair.png").stat().st_size > 1000
