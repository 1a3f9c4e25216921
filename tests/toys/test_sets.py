"""Object sets by string: the grammar and its errors, toys that do not depend on n, splits, filters and unions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError
from toyshift.core.files import cache_dir, json_hash, read_json, write_json
from toyshift.toys import load_objects
from toyshift.toys.grammar import parse
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import PANDA_OPENING, ObjectSet, half_of, joined, only_half
from toyshift.toys.random_toys.splits import split_of
from toyshift.toys.random_toys.toy import Toy
from toyshift.toys.random_toys.toy_set import ACCEPTED_WIDTH
from toyshift.toys.ycb_table import SAME_SHAPE, twin_id, ycb_table


def test_grammar() -> None:
    first, second = parse("ycb:/data/a%2Bb%3F@maniskill?graspable&n=3 + toys:train")
    assert (first.source, first.argument, first.variant, dict(first.options)) == (
        "ycb",
        "/data/a+b?",
        "maniskill",
        {"graspable": "", "n": "3"},
    )
    assert (second.source, second.argument, second.variant, second.options) == ("toys", "train", "", ())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("toys:train+", "nothing on one side"),
        ("toyz:train", "Did you mean 'toys'"),
        ("toys:trian", "Did you mean 'train'"),
        ("toys", "toys:train"),
        ("toys:", "nothing follows"),
        ("ycb-like:x", "takes nothing"),
        ("ycb-like@maniskil", "Did you mean 'maniskill'"),
        ("toys:train@x", "variant"),
        ("toys:train?grasp", "Did you mean 'graspable'"),
        ("toys:train?n=0", "at least 1"),
        ("toys:train?n=2.5", "whole number"),
        ("toys:train?n=5&n=6", "repeated"),
        ("toys:train?=6", "empty key"),
        ("toys:train?graspable=wide", "positive number"),
        ("toys:train?seed=-1", "whole number"),
        ("toys:train?graspable=80", "metres"),
        ("toys:lego?n=3&graspable=0.001", "none of its 3"),
        ("toys:lego?n=3&light", "goes with graspable"),
        ("toys:lego?n=3&graspable&light=1", "takes no value"),
        ("ycb:/nowhere", "/nowhere does not exist"),
        ("ycb-like@", "variant behind '@' is empty"),
        ("toys:train?n=3+toys:train?n=2", "twice"),
        ("ycb-like?n=3", "graspable"),
    ],
)
def test_bad_specs_say_what_and_what_else(spec: str, words: str) -> None:
    with pytest.raises(ToyShiftError) as caught:
        load_objects(spec)
    assert words in str(caught.value)


def test_toy_i_does_not_depend_on_n_and_a_set_is_the_same_in_another_process() -> None:
    few, more = load_objects("toys:train?n=4"), load_objects("toys:train?n=9")
    assert more.ids[:4] == few.ids
    assert few.fingerprint != more.fingerprint
    code = "from toyshift.toys import load_objects; s = load_objects('toys:train?n=9'); print(s.fingerprint)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == more.fingerprint
    assert load_objects("toys:train?n=4&seed=1").ids != few.ids


def test_accepted_draws_are_remembered_and_a_damaged_memory_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path))
    ids = load_objects("toys:test?n=3&seed=77").ids
    files = sorted(cache_dir("toys").glob("test-*.json"))
    assert any(len(read_json(f)) == 3 for f in files)
    for f in files:
        f.write_text("[1, 2", encoding="utf-8")
    assert load_objects("toys:test?n=3&seed=77").ids == ids


def test_train_and_test_share_no_toy_whatever_n_and_seed() -> None:
    for seed in (0, 1):
        train, test = load_objects(f"toys:train?n=15&seed={seed}"), load_objects(f"toys:test?n=15&seed={seed}")
        assert {split_of(i) for i in train.ids} == {"train"}
        assert {split_of(i) for i in test.ids} == {"test"}
        assert not set(train.ids) & set(test.ids)


def test_a_scaled_set_holds_the_same_shapes_in_another_size() -> None:
    plain, scaled = load_objects("toys:test?n=6"), load_objects("toys:test?n=6&scale=0.75")
    assert not set(plain.ids) & set(scaled.ids)
    for one, other in zip(plain, scaled, strict=True):
        assert other.mesh.volume == pytest.approx(0.75**3 * one.mesh.volume, rel=1e-3)  # lengths are whole micrometres
        assert other.density == pytest.approx(one.density, rel=1e-3)
        assert other.width == pytest.approx(0.75 * one.width, rel=1e-3)
        assert len(other.rest_poses) == len(one.rest_poses)
        assert other.info["toy"]["id"] == other.id
        assert Toy.from_json(other.info["toy"]) == scaled.toy(other.id) == plain.toy(one.id).scaled(0.75)
    assert load_objects("toys:test?n=6&scale=1").ids == plain.ids
    for option in ("scale=0.1", "scale=6", "scale=wide", "scale=0.5&select=top-graspable"):
        with pytest.raises(ConfigError, match="scale"):
            load_objects(f"toys:test?n=6&{option}")


def test_accepted_toys_are_narrow_in_every_rest_pose() -> None:
    objects = load_objects("toys:train?n=12")
    assert max(p.width for o in objects for p in o.rest_poses) < ACCEPTED_WIDTH
    assert objects.left_out == {}
    assert objects[0].source == "toys:train"


def test_graspable_keeps_narrow_poses_only_and_says_what_it_dropped() -> None:
    whole, kept = load_objects("toys:lego?n=40"), load_objects("toys:lego?n=40&graspable=0.04")
    assert set(kept.ids) | set(kept.left_out) == set(whole.ids)
    assert not set(kept.ids) & set(kept.left_out)
    assert kept.ids == tuple(i for i in whole.ids if i in kept)
    for found in kept:
        assert max(p.width for p in found.rest_poses) < 0.04
        assert sum(p.probability for p in found.rest_poses) == pytest.approx(1)
    for name, why in kept.left_out.items():
        assert whole.by_id(name).width >= 0.04
        assert why == f"its smallest width is {whole.by_id(name).width * 1000:.0f} mm"
        with pytest.raises(ConfigError, match=why):
            kept.by_id(name)
    assert load_objects("toys:lego?n=10&graspable").ids == load_objects(f"toys:lego?n=10&graspable={PANDA_OPENING}").ids
    assert kept.fingerprint != whole.fingerprint


def test_placeholders_are_left_out_of_graspable_unless_asked_for(tmp_path: Path) -> None:
    """Boxes of 49, 50 and 51 kg/m^3, and a tray whose hull is lighter than that but whose solid is not."""
    box = trimesh.creation.box((0.04, 0.05, 0.06))
    hollow = trimesh.creation.box((0.036, 0.046, 0.06)).apply_translation([0, 0, 0.002])
    tray = trimesh.boolean.difference([box, hollow], engine="manifold")
    lines = ["id,mass_g"]
    for name, mesh, density in (("a", box, 49), ("b", box, 50), ("c", box, 51), ("tray", tray, 60)):
        mesh.export(tmp_path / f"{name}.stl")
        lines.append(f"{name},{density * mesh.volume * 1000}")
    assert 60 * tray.volume < 20 * box.volume
    (tmp_path / "masses.csv").write_text("\n".join(lines), encoding="utf-8")
    spec = f"meshes:{tmp_path}?unit=m&masses={tmp_path / 'masses.csv'}"
    whole, kept, light = (load_objects(f"{spec}{filters}") for filters in ("", "&graspable", "&graspable&light"))
    assert [round(found.density) for found in whole] == [49, 50, 51, 60]
    assert whole.left_out == light.left_out == {}
    assert kept.ids == ("b", "c", "tray")
    assert list(kept.left_out) == ["a"]
    assert "49 kg/m^3, less than 50" in kept.left_out["a"]
    assert light.ids == whole.ids
    assert len({kept.fingerprint, light.fingerprint, whole.fingerprint}) == 3
    with pytest.raises(ConfigError, match=r"none of its 1 .* weighs at least 50"):
        load_objects("toys:" + _light_distribution(tmp_path) + "?n=1&graspable")


def _light_distribution(folder: Path) -> str:
    write_json(folder / "light.json", {"density": [10.0, 10.0], "counts": [1.0], "sphere_radius": [0.02, 0.02]})
    return str(folder / "light.json")


def test_the_fingerprint_of_graspable_changes_only_where_an_object_is_dropped() -> None:
    """What it was before placeholders were left out, by its own rule: results and caches go by it."""
    whole = load_objects("toys:lego?n=12")
    before = json_hash([whole.fingerprint, "graspable", round(PANDA_OPENING * 1e6)])
    assert load_objects("toys:lego?n=12&graspable").fingerprint == before
    assert load_objects("toys:lego?n=12&graspable&light").fingerprint == before


def test_a_scaled_object_keeps_its_density() -> None:
    found = load_objects("ycb-like")[0]
    assert found.scaled(0.7).density == pytest.approx(found.density)
    assert found.scaled(0.7).info["volume"] == pytest.approx(0.343 * found.info["volume"])


def test_halves_are_disjoint_and_depend_on_the_id_alone() -> None:
    whole, narrow = load_objects("ycb-like"), load_objects("ycb-like?graspable")
    a, b = (load_objects(f"ycb-like?half={half}") for half in "ab")
    assert sorted(a.ids + b.ids) == sorted(whole.ids)
    assert min(len(a), len(b)) > len(whole) // 4
    assert set(load_objects("ycb-like?half=a&graspable").ids) == set(a.ids) & set(narrow.ids)
    assert len({whole.fingerprint, a.fingerprint, b.fingerprint}) == 3
    with pytest.raises(ConfigError, match="half is 'a' or 'b', got 'c'"):
        load_objects("ycb-like?half=c")


def test_who_goes_through_a_set_has_its_objects_prepared_together_and_no_others() -> None:
    whole, asked = load_objects("toys:train?n=6"), []
    counted = ObjectSet("counted", whole.ids, "1", whole.by_id, prepare=lambda ids: asked.append(list(ids)))
    counted.by_id(whole.ids[0])
    assert asked == []
    half = only_half(counted, half_of(whole.ids[0]), "half")
    for found in (counted, half, joined([half, load_objects("robosuite")], "both")):
        assert len(list(found)) == len(found)
    assert asked == [list(counted.ids), list(half.ids), list(half.ids)]


def test_twins_belong_to_the_same_half_in_every_set(tmp_path: Path, ycb_folder: Callable[..., Path]) -> None:
    """What `ycb-like` builds follows the real object; half b of the one holds nothing that half a of another shows."""
    for name in ("004_sugar_box", "006_mustard_bottle", "026_sponge", "043_phillips_screwdriver", "073-f_lego_duplo"):
        ycb_folder(name, trimesh.creation.box((0.03, 0.04, 0.05)))
    real = f"ycb:{tmp_path / 'ycb'}"
    bare = f"meshes:{tmp_path / 'ycb'}?unit=m"  # under ids of their own, such as 004_sugar_box_google_16k_textured

    def twins(spec: str) -> set[str]:
        return {twin_id(name) for name in load_objects(spec).ids}

    members = {half: twins(f"{real}?half={half}") for half in "ab"}
    assert members["a"]
    assert members["b"]
    for half, other in ("ab", "ba"):
        for spec in ("ycb-like?", "ycb-like@maniskill?", "ycb-like?graspable&light&", f"{bare}&"):
            shown = twins(f"{spec}half={half}")
            assert members[half] & twins(spec.rstrip("?&")) <= shown
            assert not members[other] & shown
        both = f"toys:train?n=2+ycb-like?half={half}+{real}?half={other}"  # an id that were in both would be refused
        assert len(load_objects(both)) == 2 + len(load_objects(f"ycb-like?half={half}")) + len(
            load_objects(f"{real}?half={other}")
        )
        assert not twins(f"ycb-like@maniskill?half={half}+toys:train?n=2") & members[other]


def test_the_halves_of_real_objects_are_those_that_were_tuned_on() -> None:
    """A hash of the official id, as since there are halves; two objects go by another's of the same shape."""
    for name in ycb_table():
        own = "ab"[int(json_hash(["half", name]), 16) % 2]
        assert half_of(name) == (own if name not in SAME_SHAPE else half_of(SAME_SHAPE[name]))
    assert half_of("025_mug_google_16k_textured") == half_of("025_mug")
    assert twin_id("025_mugs") == "025_mugs"
    boxes = {name: np.array(row.box) for name, row in ycb_table().items()}
    for name, other in SAME_SHAPE.items():
        np.testing.assert_allclose(boxes[name], boxes[other], atol=0.0015)


def test_union_and_access() -> None:
    both = load_objects("toys:train?n=3+toys:test?n=2")
    assert len(both) == 5
    assert [o.source for o in both] == ["toys:train"] * 3 + ["toys:test"] * 2
    assert both[-1].id == both.ids[4]
    assert both.by_id(both.ids[1]) is both[1]  # cached
    assert both.index(both.ids[3]) == 3
    with pytest.raises(IndexError, match="object 5 of"):
        both[5]
    with pytest.raises(UnknownNameError, match="unknown object of"):
        both.by_id("nothing")


def test_a_set_that_is_in_use_is_shared_until_its_objects_change(tmp_path: Path) -> None:
    trimesh.creation.box((0.03, 0.04, 0.05)).export(tmp_path / "brick.obj")
    spec = f"meshes:{tmp_path}"
    first = load_objects(spec)
    assert load_objects(spec) is first
    assert load_objects("toys:train?n=3") is not load_objects("toys:train?n=4")
    trimesh.creation.box((0.03, 0.04, 0.06)).export(tmp_path / "brick.obj")
    changed = load_objects(spec)
    assert changed is not first
    assert float(np.ptp(changed[0].mesh.vertices[:, 2])) == pytest.approx(0.06)
    assert float(np.ptp(first[0].mesh.vertices[:, 2])) == pytest.approx(0.05)


def test_threads_load_each_object_of_a_set_once() -> None:
    made: list[str] = []

    def load(name: str) -> GraspObject:
        made.append(name)
        return box

    box = load_objects("toys:train?n=1")[0]
    shared = ObjectSet("shared", tuple("abcdefgh"), "0", load)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(shared.by_id, list("abcdefgh") * 20))
    assert sorted(made) == list("abcdefgh")
    assert all(one is box for one in found)


def test_importing_the_room_is_cheap() -> None:
    code = "import sys, toyshift.toys; "
    code += "print([m for m in ('mujoco', 'torch', 'trimesh', 'scipy', 'manifold3d') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
