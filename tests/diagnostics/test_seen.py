"""What may be said of the objects of a test: seen, unseen, or nothing, from what policies say they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from toyshift.core.files import write_json
from toyshift.diagnostics.seen import ON_THESE, ZERO_SHOT, Seen, demonstrated_sets, seen_objects
from toyshift.toys import load_objects

TOY, OTHER = "0029355a29f1b11c", "00a1ee5c98e94dd8"  # of toys:train
MUG, BANANA = "025_mug", "011_banana"


def said(object_sets: list[str], object_ids: list[str], **more: Any) -> dict[str, Any]:
    return {"object_sets": object_sets, "object_ids": object_ids, "starts": [], **more}


def policy(folder: Path, *known: dict[str, Any], file: str = "config.json") -> str:
    write_json(folder / file, {"trained_on": list(known)})
    return str(folder)


@pytest.mark.parametrize("file", ["config.json", "contract.json"])  # a folder's and a bundle's
@pytest.mark.parametrize(("object_set", "met", "label"), [
    ("toys:train", [TOY], ON_THESE),
    ("toys:train", [TOY, OTHER], "trained on 1 of these 2"),
    ("toys:train?n=500", [OTHER], ZERO_SHOT),  # of the same set, but in no demonstration
    ("toys:mine.json", [TOY], ON_THESE),  # the same toy, whatever its set is called
    ("ycb-like", [MUG, BANANA], ZERO_SHOT),
])
def test_toys_are_told_by_their_content(tmp_path: Path, file: str, object_set: str, met: list[str], label: str) -> None:
    trained = policy(tmp_path, said(["toys:train"], [TOY]), file=file)
    found = seen_objects(trained, object_set, met)
    assert found is not None
    assert found.label(len(met)) == label


@pytest.mark.parametrize(("object_set", "met", "label"), [
    ("ycb:DIR?graspable", [MUG], ON_THESE),
    ("toys:train+ycb:DIR", [MUG, TOY], "trained on 1 of these 2"),
    ("ycb:DIR", [BANANA], ZERO_SHOT),
    ("ycb-like", [MUG], ""),  # a stand-in of the scan: neither the same nor unseen
    ("meshes:DIR", ["025_mug_textured"], ""),
    ("meshes:DIR", ["cup"], ZERO_SHOT),
])
def test_other_objects_are_told_by_name_and_set(tmp_path: Path, object_set: str, met: list[str], label: str) -> None:
    found = seen_objects(policy(tmp_path, said(["ycb:DIR"], [MUG])), object_set, met)
    assert found is not None
    assert found.label(len(met)) == label


def test_the_sets_of_demonstrations_are_told_where_a_policy_says_them(tmp_path: Path) -> None:
    said_so = policy(tmp_path / "a", said(["ycb-like"], [MUG]), said(["toys:train"], [TOY]))
    silent = policy(tmp_path / "b", said([], []))
    asked = {"a": said_so, "b": silent, "oracle": "oracle", "far": "ws://somewhere:1"}
    assert demonstrated_sets(asked) == {"a": ["toys:train", "ycb-like"]}


def test_nothing_is_unseen_where_a_dataset_does_not_say_its_objects(tmp_path: Path) -> None:
    found = seen_objects(policy(tmp_path, said(["toys:train"], [TOY]), said([], [])), "toys:train", [TOY, OTHER])
    assert found == Seen((TOY,), (OTHER,))
    assert found.label(2) == "trained on at least 1 of these 2"
    assert found.of([OTHER]).label(1) == ""
    assert Seen.from_json(found.to_json()) == found


def test_what_lay_beside_the_grasped_objects_is_not_called_unseen(tmp_path: Path) -> None:
    found = seen_objects(policy(tmp_path, said(["toys:train"], [TOY], other_ids=[OTHER])), "toys:train", [OTHER])
    assert found == Seen((), (OTHER,))


def test_nobody_knows_of_servers_built_ins_and_folders_of_before(tmp_path: Path) -> None:
    write_json(tmp_path / "old" / "config.json", {"policy": {}})
    empty = policy(tmp_path / "empty")  # nothing is written down, which is not that there was nothing
    for asked in ("random", "oracle", "ws://localhost:1", str(tmp_path / "old"), empty):
        assert seen_objects(asked, "toys:train", [TOY]) is None


def test_the_sets_that_studies_and_the_quickstart_call_zero_shot_share_no_object_with_the_training_toys() -> None:
    trained, tested = load_objects("toys:train").ids, ("toys:test", "ycb-like")  # the latter's graspable ones too
    assert {TOY, OTHER} <= set(trained)
    assert not any(set(trained) & set(load_objects(spec).ids) for spec in tested)
