"""The card of datasets: a planted cue is named, nothing else is, and its commands exist."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.augment import read_spec
from toyshift.core.errors import FileError
from toyshift.core.files import read_json
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import claim_plan, plan_of
from toyshift.data.formats.outline import Outline
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.dataset_repairs import lighter, repairs_of
from toyshift.diagnostics.dependence import Dependences, Pair, factors_of, measure_dependence
from toyshift.diagnostics.diversity import measure_vectors
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import dataset_card as cards
from toyshift.diagnostics.measuring.dataset_card import card_truths, judge
from toyshift.scripts import cli, diagnose
from toyshift.scripts.options import parse


def looks(position: float = 0.0, task: str = "pick up the toy", object_id: str = "a", **look: Any) -> dict[str, Any]:
    pose = [[1, 0, 0, 0.5], [0, 1, 0, position], [0, 0, 1, 0.0], [0, 0, 0, 1]]
    factors = {"look": {"azimuth": 0.0, "table": 0, "light": 1.0} | look, "sub_dataset": {"position": position}}
    return {"object_id": object_id, "object_pose": pose, "task": task, "factors": factors}


def outline(metas: Sequence[dict[str, Any]], name: str = "d", **given: Any) -> Outline:
    said = {"kind": "ToyShift", "robot": "panda", "cameras": ("front",), "ours": True, "states": True} | given
    return Outline(
        path=Path(name), metas=tuple(metas), identity=name, first_images=lambda camera, numbers: iter(()), **said
    )


def of_fragments(factor: str, correlation: float = 1.0, n: int = 80) -> dict[str, Outline]:
    design = fragment(2, diversity=0.5, disparity=1.0, correlation=correlation, factor=factor)
    rng, parts = np.random.default_rng(0), {}
    for part in design.parts:
        drawn = [part.draw(rng) for _ in range(n)]
        parts[part.name] = outline([looks(d["position"], **{factor: d[factor]}) for d in drawn], part.name)
    return parts


def card_of(outlines: Mapping[str, Outline], *, given: Sequence[Path] = (), images: Any = None) -> Card:
    asked = Asked(datasets=tuple(given), objects="", scenes=0, looks=0, trials=0, camera="", seed=0, out=Path())
    asked.__dict__["outlines"] = dict(outlines)
    factors = {name: factors_of(one.metas, one.robot) for name, one in outlines.items()}
    found = measure_dependence(factors)
    card = cards.dataset_card(asked, {"dependence": found})
    return card if images is None else judge(found, images)


def vectors(apart: float, n: int = 60) -> Any:
    rng = np.random.default_rng(1)
    return measure_vectors({"a": rng.normal(size=(n, 4)), "b": rng.normal(size=(n, 4)) + apart}, resamples=50)


@pytest.mark.parametrize("factor", ["table", "azimuth", "light"])
def test_the_planted_cue_is_named_with_where_it_comes_from(factor: str) -> None:
    card = card_of(of_fragments(factor))
    planted = fragment(2, diversity=0.5, disparity=1.0, correlation=1.0, factor=factor).planted()
    assert card.cue == factor
    assert card.verdict.endswith("tells in part where the target lies.")
    assert card.strength.low < planted < card.strength.high
    assert card.null < 0.05
    assert any("0 % of where the target lies" in line for line in card.agree)
    assert any("it comes from the mixture" in line for line in card.agree)
    json.dumps(card.to_json(), allow_nan=False)


def test_a_cue_inside_one_dataset_is_named() -> None:
    metas = [looks(0.08 if i % 2 else -0.08, table=i % 2) for i in range(60)]
    card = card_of({"d": outline(metas)})
    assert (card.cue, card.strength.value) == ("table", pytest.approx(1.0))
    assert "almost wholly" in card.verdict
    assert "100 % of the 60 episodes, 5" in card.agree[0]
    twice = card_of({name: outline(metas, name) for name in "ab"})
    assert any("it holds inside datasets as well: NMI 1.00" in line for line in twice.disagree)


def test_independent_and_mutually_tied_looks_are_named_in_at_most_five_percent() -> None:
    assert [truth for truth in card_truths() if not truth.ok] == []


def test_the_rate_of_false_alarms_is_held_over_pairs() -> None:
    """8 pairs a dataset: without the correction a third of the datasets would have one that is called dependent."""
    alarms, uncorrected = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        u = {f"u{i}": [int(x) for x in rng.integers(3, size=60)] for i in range(2)}
        v = {f"v{i}": [int(x) for x in rng.integers(4, size=60)] for i in range(4)}
        found = measure_dependence({"d": (u, v)}, seed)
        alarms += bool(judge(found).cue)
        uncorrected += any(pair.p_value <= 0.05 for pair in found.pairs)
    assert alarms <= 18  # 10 expected at most; P(more than 18) is below 1 %
    assert uncorrected >= 40


def test_many_pairs_leave_a_true_one_significant() -> None:
    """As many shuffles are drawn as the correction needs: of 500, the least p value would be 0.15 among 75 pairs."""
    rng = np.random.default_rng(0)
    u = {f"u{i}": [int(x) for x in rng.integers(3, size=100)] for i in range(5)}
    v = {f"v{i}": [int(x) for x in rng.integers(4, size=100)] for i in range(14)} | {"cue": u["u0"]}
    found = measure_dependence({"d": (u, v)})
    assert len(found.pairs) == 75
    assert [(p.relevant, p.irrelevant) for p in found.pairs if p.dependent] == [("u0", "cue")]
    assert found.pairs[0].guess == 1.0


def test_datasets_that_differ_in_what_has_to_be_done_alone_have_no_cue() -> None:
    """The images tell them apart, and rightly: they show where the target lies."""
    outlines = of_fragments("table", correlation=0.0)
    card = card_of(outlines, images=vectors(5.0))
    assert card.cue == ""
    assert card.verdict.startswith("No cue was found among what is recorded; but which dataset it is tells in part")
    assert any("what has to be done may show itself" in line for line in card.disagree)


def test_of_datasets_without_factors_tasks_and_images_are_told() -> None:
    bare = {"robot": "", "ours": False, "states": False, "kind": "LeRobot v3"}
    outlines = {name: outline([{"task": f"task {name}"}] * 30, name, **bare) for name in "ab"}
    card = card_of(outlines)
    assert card.cue == ""
    assert "whether that can be seen is not known" in card.verdict
    assert any("tell no factors" in line for line in card.unknown)
    seen = card_of(outlines, images=vectors(5.0))
    assert seen.cue == "dataset"
    assert seen.verdict.startswith("The images tell the datasets apart, and which dataset it is tells almost wholly")
    alike = card_of(outlines, images=vectors(0.0))
    assert alike.cue == ""
    assert "the images do not tell the datasets apart" in alike.verdict
    nothing = card_of({"a": outline([{"task": "one"}] * 9, "a", **bare)})
    assert nothing.verdict.startswith("Nothing can be said")
    assert nothing.advice == ()


def test_the_task_in_the_image_is_found_of_one_dataset_without_factors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    tasks = [f"task {i % 4}" for i in range(120)]
    telling = np.eye(4)[np.arange(120) % 4] * 4 + rng.normal(size=(120, 4))
    asked = Asked(datasets=(), objects="", scenes=0, looks=0, trials=0, camera="", seed=0, out=Path())
    asked.__dict__["outlines"] = {"d": outline([{"task": task} for task in tasks] + [{"task": "once"}])}
    monkeypatch.setattr(cards, "first_vectors", lambda *given: np.concatenate([telling, telling[:1]]))
    told = cards.task_from_image(asked)
    assert told is not None
    assert told.tasks == 4  # one that is asked for once cannot be learnt and tested
    assert told.told
    monkeypatch.setattr(cards, "first_vectors", lambda *given: rng.normal(size=(121, 4)))
    guessed = cards.task_from_image(asked)
    assert guessed is not None
    assert guessed.right.low < 0.25 < guessed.right.high
    found = Dependences(121, (), ())
    assert judge(found, None, told).verdict.startswith("The first image tells what is asked for")
    assert judge(found, None, guessed).verdict.startswith("Nothing can be said")


def test_factors_that_never_vary_and_single_episodes_leave_words_and_no_cue() -> None:
    same = card_of({"d": outline([looks()] * 20)})
    assert same.verdict.startswith("Nothing can be said")
    assert any("the same in all episodes" in line and "table" in line for line in same.unknown)
    single = card_of({name: outline([looks(0.01 * i, table=i)], name) for i, name in enumerate("abc")})
    assert single.cue == ""
    metas = [looks(0.01 * i) for i in range(20)]
    mixed = card_of({name: outline(metas, name, robot=name) for name in ("panda", "ur5e")})
    assert any("robots differ (panda, ur5e)" in line for line in mixed.unknown)
    told = card_of({"a": outline([looks()] * 20, "a"), "b": outline([{"task": "pick up the toy"}] * 20, "b")})
    assert any("told by some datasets only" in line and "azimuth" in line for line in told.unknown)


def commands(advice: Sequence[str]) -> list[list[str]]:
    return [shlex.split(line) for text in advice for line in text.splitlines() if line.startswith("toyshift")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    design = fragment(2, diversity=0.5, disparity=1.0, correlation=1.0, factor="azimuth")
    claim_plan(tmp_path / "a folder", plan_of(design, "toys:train?n=4", 4, 0), "toyshift data fragment")
    return tmp_path / "a folder"


PAIR = Pair("position", "table", 0.4, 0.3, 0.5, 0.0, 0.002, (9, 6), 0.002, 0.1, 0.5, 0.2)


@pytest.mark.parametrize("v", ["azimuth", "table", "light", "object_colour", "robot", "camera-fov", "dataset"])
@pytest.mark.parametrize("u", ["position", "position.y", "object", "instruction"])
def test_what_is_recommended_can_be_done(u: str, v: str, folder: Path) -> None:
    outlines = {name: outline([looks(table=i) for i in range(4)], f"runs/x {name}") for name in "ab"}
    pair = dataclasses.replace(PAIR, relevant=u if u != "position.y" else "position", irrelevant=v)
    for one in outlines.values():
        for meta in one.metas:
            meta["factors"] |= {"camera-fov": 1.0}
            meta["factors"]["look"].setdefault(v, 0)
    advice = repairs_of(pair, (folder,), outlines)
    assert advice
    for argv in commands(advice):
        words, main, rest = cli.find(argv[1:])
        parse(main, rest, words)


def test_the_surest_repair_comes_first_and_only_where_it_works(folder: Path) -> None:
    outlines = {name: outline([looks(azimuth=-30.0), looks(azimuth=40.0)], f"runs/{name}") for name in "ab"}
    pair = dataclasses.replace(PAIR, irrelevant="azimuth")
    cue, viewpoint, again = repairs_of(pair, (folder,), outlines)
    assert "(overlap: the dependence is gone)" in cue
    assert commands([cue])[0][:5] == ["toyshift", "augment", "cue", str(folder), f"{folder}-clean"]
    assert [c[-3:] for c in commands([viewpoint])] == [["--azimuth", "-30", "40"]] * 2
    assert "data fragment" in again
    stateless = {name: dataclasses.replace(one, states=False) for name, one in outlines.items()}
    assert [line.split()[0] for line in repairs_of(pair, (folder,), stateless)] == ["collect"]
    elsewhere = {name: dataclasses.replace(one, ours=False) for name, one in outlines.items()}
    assert commands(repairs_of(pair, (folder,), elsewhere)) == []
    assert "record what has to be done under every look" in repairs_of(pair, (folder,), elsewhere)[0]


def test_datasets_without_a_plan_are_brought_together_by_copies() -> None:
    outlines = {n: outline([looks(table=t) for _ in range(4)], f"runs/{n}") for n, t in (("a", 1), ("b", 4))}
    given = [Path("runs/a"), Path("runs/b")]
    apart = dataclasses.replace(PAIR, overlap=(0.0, 0.0))
    copies = commands(repairs_of(apart, given, outlines))[0]
    spec = "toward-other?factor=table&side=recorded"
    assert copies == ["toyshift", "augment", spec, "runs/a", "runs/b", "runs/a-overlapping"]
    words, main, rest = cli.find(copies[1:])
    assert read_spec(parse(main, rest, words).whole_spec)
    together = dataclasses.replace(PAIR, overlap=(0.0, 1.0))  # what is tied is tied within them
    assert not [argv for argv in commands(repairs_of(together, given, outlines)) if "augment" in argv]


def test_a_mixture_is_recommended_where_weights_help() -> None:
    """In "bridge" every table meets every place; drawn oftener, it weakens what "tied" ties."""
    tied = [looks(0.08 if i % 2 else -0.08, table=i % 2) for i in range(40)]
    bridge = [looks(0.08 if i % 2 else -0.08, table=i // 2 % 2) for i in range(40)]
    outlines = {"tied": outline(tied, "tied", states=False), "bridge": outline(bridge, "bridge", states=False)}
    mixed = [argv for argv in commands(card_of(outlines).advice) if argv[1:3] == ["data", "mix"]]
    assert mixed == [["toyshift", "data", "mix", "tied", "bridge", "--weights", "1", "3", "--out", "runs/mix.json"]]
    u, v = np.tile([0, 1], 40), np.r_[np.tile([0, 1], 20), np.tile([0, 0, 1, 1], 10)]
    before, after, often = lighter(u, v, np.repeat([0, 1], 40))
    entropy = lambda p: -(p * np.log2(p) + (1 - p) * np.log2(1 - p))  # noqa: E731
    assert (before, after, often) == (pytest.approx(1 - entropy(0.75)), pytest.approx(1 - entropy(0.625)), 1)
    assert not [argv for argv in commands(card_of(of_fragments("table")).advice) if "mix" in argv]


@pytest.mark.usefixtures("own_cache")
def test_the_command_ends_in_a_card(
    demos: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = demos(tmp_path / "left", 6, 40), demos(tmp_path / "right", 6, 200)
    argv = ["diagnose", "--data", str(left), str(right), "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 0
    said = capsys.readouterr().out
    assert "dataset card:" in said
    kept = read_json(tmp_path / "out" / "dataset_card.json")
    assert kept["kind"] == "dataset"
    assert "manifest" in kept
    assert read_json(tmp_path / "out" / "diversity.json").keys() == {"dependence", "diversity", "manifest"}
    assert cli.main([*argv, "--measure", "dependence"]) == 0
    assert "dataset card" not in capsys.readouterr().out


@pytest.mark.usefixtures("own_cache")
def test_a_single_episode_leaves_the_images_out_and_says_so(
    demos: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = demos(tmp_path / "left", 1, 40), demos(tmp_path / "right", 5, 200)
    argv = ["diagnose", "--data", str(left), str(right), "--out", str(tmp_path / "out")]
    assert cli.main(argv) == 0
    said = capsys.readouterr().out
    assert "diversity is left out: sub-dataset" in said
    assert "what the images tell: they could not be measured" in said
    assert not (tmp_path / "out" / "diversity.json").exists()
    assert "sub-dataset" in read_json(tmp_path / "out" / "dependence.json")["left_out"]["diversity"]
    assert cli.main([*argv, "--measure", "diversity"]) == 2
    with pytest.raises(FileError, match="does not exist"):
        diagnose.main(diagnose.Config(data=(tmp_path / "nowhere",), out=tmp_path / "out"))
