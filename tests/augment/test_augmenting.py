"""Augmented sub-datasets on recorded episodes: what changes, what does not, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.augment import augment, augment_cue, copies, given_by
from toyshift.augment.rerender import render_again
from toyshift.augment.reskin import renamed, repainted
from toyshift.core.contract import ACTION, SIM_STATE, STATE
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import collect_fragments
from toyshift.data.collecting.replay import replay
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.before_after import before_after
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys.random_toys.toy import COLOURS

FRONT, WRIST = "observation.images.front", "observation.images.wrist"
MASKS = ("masks.front", "masks.wrist")
STILL = (ACTION, STATE, SIM_STATE, "executed_action")


@pytest.fixture(scope="module")
def whole_episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sub-datasets of four episodes: targets on the left on table 1, on the right on table 4."""
    folder = tmp_path_factory.mktemp("fragments")
    design = fragment(2, diversity=0.25, disparity=1.5, correlation=0.0, factor="azimuth")
    collect_fragments(design, CollectConfig("toys:train?n=6", 8, folder / "places", workers=0, image_size=32))
    augment_cue(folder / "places", folder / "table", "table", disparity=1.0, workers=0)
    return folder / "table"


@pytest.fixture(scope="module")
def told_by_table(whole_episodes: Path, thinned: Callable[[Path, Path], Path]) -> Path:
    """The same with every sixth frame: each frame is drawn for itself, and drawing is what takes long."""
    return thinned(whole_episodes, whole_episodes.with_name("thin"))


@pytest.fixture
def made(told_by_table: Path, tmp_path: Path) -> Callable[..., list[Dataset]]:
    """Augments those and returns what comes out."""

    def make(spec: str, name: str = "out", workers: int = 0, seed: int = 0) -> list[Dataset]:
        result = augment(spec, told_by_table, tmp_path / name, seed, workers)
        return [open_dataset(Path(part["out"])) for part in result["parts"]]

    return make


def pairs(there: Path, new: list[Dataset]) -> list[tuple[Episode, Episode]]:
    """Episodes and their copies."""
    found = []
    for i, part in enumerate(new):
        old = open_dataset(there / f"part-{i}")
        assert part.num_episodes == 2 * old.num_episodes
        for e in range(old.num_episodes):
            assert part.episode_digest(e) == old.episode_digest(e)  # those that there were stay
            found.append((old.episode(e), part.episode(old.num_episodes + e)))
    return found


def check_same(a: Episode, b: Episode, *keys: str) -> None:
    for key in keys or a.frames:
        np.testing.assert_array_equal(a.frames[key], b.frames[key], err_msg=key)


def table(meta: dict[str, Any]) -> int:
    return int(meta["factors"]["look"]["table"])


def test_duplicates_are_equal_and_say_where_they_come_from(told_by_table: Path, made: Any) -> None:
    for old, new in pairs(told_by_table, made("duplicate")):
        check_same(old, new)
        assert new.meta["_augmented"]["copy"] == 1
    only = made("duplicate?copies=2&keep=no", "only")
    given = given_by([only[0].folder.parent])  # it hands on what its sub-datasets differ in
    assert (tuple(given.parts), given.factor, given.relevant) == (("part-0", "part-1"), "table", "position")
    assert [part.num_episodes for part in only] == [8, 8]
    assert only[0].manifest["config"]["spec"] == "duplicate?copies=2&keep=no"
    assert only[0].meta(4)["_augmented"] == {
        "spec": "duplicate?copies=2&keep=no", "dataset": "part-0", "episode": 0, "copy": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("spec", "sides"), [
    ("toward-own", ({0, 1, 2}, {3, 4, 5})), ("toward-other", ({3, 4, 5}, {0, 1, 2})),
])  # fmt: skip
def test_toward_changes_the_table_alone(spec: str, sides: Any, told_by_table: Path, made: Any) -> None:
    for i, (old, new) in enumerate(pairs(told_by_table, made(spec))):
        check_same(old, new, *STILL, *MASKS, "camera.front.extrinsics")
        assert table(new.meta) in sides[i // 4]
        assert new.meta["factors"]["sub_dataset"]["table"] == table(new.meta)  # for NMI
        assert np.array_equal(old.frames[FRONT], new.frames[FRONT]) == (table(old.meta) == table(new.meta))


def test_the_theory_s_order_is_seen_in_dependence_and_disparity(told_by_table: Path, tmp_path: Path) -> None:
    found = {}
    for spec in ("duplicate", "toward-own", "toward-other", "bridge"):
        augment(spec, told_by_table, tmp_path / spec, workers=0)
        rows = before_after([told_by_table], [tmp_path / spec], ("position", "table"))
        found[spec] = {row["measure"]: (row["before"]["value"], row["after"]["value"]) for row in rows}
    nmi = {spec: rows["NMI(position, table)"][1] for spec, rows in found.items()}
    assert nmi["toward-other"] < nmi["toward-own"]
    assert nmi["bridge"] < nmi["duplicate"]
    disparity = {spec: rows["disparity"][1] for spec, rows in found.items()}
    assert disparity["toward-other"] < disparity["duplicate"] == pytest.approx(found["duplicate"]["disparity"][0])
    diversity = {spec: rows["diversity"] for spec, rows in found.items()}
    assert diversity["toward-own"][1] > diversity["toward-own"][0]


def test_the_bridge_holds_all_places_under_all_tables(told_by_table: Path, made: Any) -> None:
    *old, bridge = made("bridge?episodes=8")
    assert [part.num_episodes for part in old] == [4, 4]
    metas = [bridge.meta(i) for i in range(8)]
    origins = [(m["_augmented"]["dataset"], m["_augmented"]["episode"]) for m in metas]
    assert sorted(origins) == [(f"part-{p}", e) for p in range(2) for e in range(4)]
    assert {table(m) for m in metas} == {1, 4}
    assert any(table(m) == 4 for m in metas[:4])
    assert any(table(m) == 1 for m in metas[4:])


def test_a_look_of_its_own_reproduces_every_pixel(told_by_table: Path, made: Any) -> None:
    new = made("appearance?table=1", "table")[0]
    for old, copy in pairs(told_by_table, [new]):
        check_same(old, copy)
    for old, copy in pairs(told_by_table, made("viewpoint?azimuth=0+jitter?brightness=0&contrast=0&colour=0", "none")):
        check_same(old, copy)


@pytest.mark.parametrize("spec", ["bridge", "appearance?table=1,4&keep=no", "reskin?keep=no+viewpoint?azimuth=20"])
def test_frames_that_stay_are_what_rendering_gives(spec: str, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stays = [part.content_hash() for part in made(spec, "stays")]
    monkeypatch.setattr(copies, "unmoved", lambda *_: ())
    assert [part.content_hash() for part in made(spec, "rendered")] == stays


def test_the_front_camera_goes_where_it_is_sent(told_by_table: Path, made: Any) -> None:
    from toyshift.envs.scene.surroundings import front_camera_pose

    for old, new in pairs(told_by_table, made("viewpoint?azimuth=5:20&elevation=-10&distance=1.2&fov=4")):
        check_same(old, new, *STILL, WRIST, "masks.wrist")
        factors = new.meta["factors"]
        assert (factors["camera-elevation"], factors["camera-distance"], factors["camera-fov"]) == (-10, 1.2, 4)
        assert 5 <= factors["look"]["azimuth"] <= 20
        assert table(new.meta) == table(old.meta)  # the planted table stays
        pose = new.frames["camera.front.extrinsics"][0].astype(np.float64)
        position, _ = front_camera_pose(factors["look"]["azimuth"], -10, 1.2)
        np.testing.assert_allclose(-pose[:3, :3].T @ pose[:3, 3], position, atol=1e-5)
        focal = [episode.frames["camera.front.intrinsics"][0, 1, 1] for episode in (old, new)]
        half = [np.degrees(np.arctan(16 / value)) for value in focal]
        assert 2 * (half[1] - half[0]) == pytest.approx(4, abs=1e-3)


def test_what_one_run_changed_stays_in_the_next(told_by_table: Path, made: Any, tmp_path: Path) -> None:
    turned = made("viewpoint?elevation=10&keep=no+appearance?light_colour=1+reskin", "turned")[0]
    again = augment("appearance?object_colour=0", turned.folder, tmp_path / "again", workers=0)
    new = open_dataset(Path(again["out"]))
    assert new.folder == tmp_path / "again"  # of one dataset one comes
    check_same(turned.episode(0), new.episode(4))
    twice = open_dataset(Path(augment("reskin?keep=no", turned.folder, tmp_path / "twice", workers=0)["out"]))
    tasks = [[dataset.meta(e)["task"] for e in range(4)] for dataset in (open_dataset(told_by_table / "part-0"), twice)]
    colours = [twice.meta(e)["factors"]["colours"] for e in range(4)]
    assert [renamed(task, to) for task, to in zip(tasks[0], colours, strict=True)] == tasks[1]


def test_toys_and_words_are_painted_alike(told_by_table: Path, made: Any) -> None:
    right = []
    for old, new in pairs(told_by_table, made("reskin")):
        check_same(old, new, *STILL, *MASKS)
        to = new.meta["factors"]["colours"]
        word = old.meta["task"].split()[-2]
        if word not in COLOURS:  # a toy of several colours
            continue
        assert new.meta["task"] == old.meta["task"].replace(word, to[word])
        where = new.frames["masks.front"][0] == 1
        seen = new.frames[FRONT][0][where].mean(axis=0)
        paint = {name: np.asarray(rgba[:3]) for name, rgba in COLOURS.items()}
        hue = {name: float(seen @ rgba / np.linalg.norm(seen) / np.linalg.norm(rgba)) for name, rgba in paint.items()}
        right.append(hue[to[word]] >= hue[word])  # nearer to the new colour than to the old, whatever the light
    assert len(right) >= 4
    assert np.mean(right) >= 0.75  # of grey, white and black the hue is one


def test_what_was_painted_for_one_episode_is_not_seen_in_the_next() -> None:
    swap = dict(zip(COLOURS, [*list(COLOURS)[1:], *list(COLOURS)[:1]], strict=True))
    with contextlib.closing(GraspEnv(objects="toys:train?n=12", task="pick", image_size=32)) as env:
        _, info = env.reset(seed=0, options={"episode": 0})
        meta = {"object_id": env.object.id, "model_hash": env.model_hash(), "others": list(env.other_ids)}
        episode = Episode(0, {SIM_STATE: np.stack([env.sim_state()] * 2)}, meta)

        def drawn(colours: dict[str, str] | None) -> dict[str, np.ndarray[Any, Any]]:
            frames = {key: np.zeros((2, 32, 32, 3), np.uint8) for key in (FRONT,)}
            frames |= {"masks.front": np.zeros((2, 32, 32), np.uint8), SIM_STATE: episode.frames[SIM_STATE]}
            frames |= {f"camera.front.{k}trinsics": np.zeros((2, n, n)) for k, n in (("ex", 4), ("in", 3))}
            repaint = (lambda env: repainted(env.scene, colours)) if colours else None
            render_again(env, episode, ("front",), frames, repaint)
            return frames

        before, painted, after = drawn(None), drawn(swap), drawn(None)
    assert len(info["objects"]) > 1
    np.testing.assert_array_equal(before[FRONT], after[FRONT])
    changed = (before[FRONT] != painted[FRONT]).any(axis=-1)
    assert changed[before["masks.front"] == 2].any()  # others too
    np.testing.assert_array_equal(painted[FRONT][0], painted[FRONT][1])  # not painted twice


def test_swapped_objects_are_lifted_by_the_same_actions(whole_episodes: Path, tmp_path: Path) -> None:
    swapped = 0
    parts = augment("object-swap?keep=no", whole_episodes, tmp_path / "out", workers=0)["parts"]
    for i, part in enumerate(open_dataset(Path(entry["out"])) for entry in parts):
        old, other = (open_dataset(whole_episodes / f"part-{k}") for k in (i, 1 - i))
        theirs = {other.meta(e)["object_id"] for e in range(other.num_episodes)}
        assert replay(part)["share"] == 1.0
        for e in range(part.num_episodes):
            new = part.episode(e)
            before = old.episode(new.meta["_augmented"]["episode"])
            assert new.meta["object_id"] in theirs - {before.meta["object_id"]}
            assert table(new.meta) == table(before.meta)
            length = len(new)
            np.testing.assert_array_equal(new.frames[ACTION], before.frames[ACTION][:length])
            np.testing.assert_array_equal(new.frames[SIM_STATE][0, 1:8], before.frames[SIM_STATE][0, 1:8])  # the arm
            assert not np.array_equal(new.frames[FRONT], before.frames[FRONT][:length])
            swapped += 1
    assert swapped >= 2


def test_no_object_that_fits_is_an_error(told_by_table: Path, made: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"part-0: no object of the other sub-datasets is graspable .*tilt=0"):
        made("object-swap?tilt=0&height=0&width=0")
    assert not (tmp_path / "out").exists()


def test_the_same_seed_gives_the_same_and_a_killed_run_goes_on(
    told_by_table: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = "appearance?table=any&light=0.5:1.5+crop"
    whole = [part.content_hash() for part in made(spec, "whole", workers=2)]
    assert whole != [part.content_hash() for part in made(spec, "other", seed=1)]
    write, written = write_episode, []

    def killed(folder: Path, episode: Episode) -> Path:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(episode.index)
        return write(folder, episode)

    monkeypatch.setattr(copies, "write_episode", killed)
    with pytest.raises(KeyboardInterrupt):
        made(spec, "killed")
    monkeypatch.undo()
    again: list[int] = []
    monkeypatch.setattr(copies, "write_episode", lambda f, e: again.append(e.index) or write(f, e))
    assert [part.content_hash() for part in made(spec, "killed")] == whole
    assert len(again) == 8 - 5  # what was finished was not made again
    with pytest.raises(ConfigError, match="an augmentation of another configuration"):
        made("duplicate", "killed")


def test_on_a_full_disk_what_is_finished_is_kept(
    told_by_table: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toyshift.data.episode as files

    there, count = files.atomic_path, []

    def full(path: Path) -> Any:
        count.append(path)
        if len(count) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return there(path)

    monkeypatch.setattr(files, "atomic_path", full)
    with pytest.raises(FileError, match="the disk is full: make room and run the same command again"):
        made("duplicate")
    monkeypatch.undo()
    assert [part.num_episodes for part in made("duplicate")] == [8, 8]


def variant(source: Path, out: Path, columns: Callable[[str], bool], **observed: Any) -> Path:
    """A copy of a dataset with fewer columns."""
    dataset = open_dataset(source)
    for episode in dataset:
        frames = {key: value for key, value in episode.frames.items() if columns(key)}
        write_episode(out, Episode(episode.index, frames, episode.meta))
    cameras = tuple(pair for pair in dataset.observation_contract.cameras if columns(f"camera.{pair[0]}"))
    contract = dataclasses.replace(dataset.observation_contract, cameras=cameras)
    finalize(out, dataset.action_contract, contract, {})
    return out


def test_without_states_images_can_still_be_changed(told_by_table: Path, tmp_path: Path) -> None:
    plain = variant(told_by_table / "part-0", tmp_path / "plain", lambda key: key != SIM_STATE)
    with pytest.raises(ContractError, match=r"simulator's state .* remains is crop, jitter, duplicate, and repairs of"):
        augment("viewpoint", plain, tmp_path / "out", workers=0)
    augment("crop?scale=0.5+jitter", plain, tmp_path / "out", workers=0)
    old, new = open_dataset(plain).episode(0), open_dataset(tmp_path / "out").episode(4)
    check_same(old, new, ACTION, STATE)
    assert not np.array_equal(old.frames[FRONT], new.frames[FRONT])
    focal = [episode.frames["camera.front.intrinsics"][0, 0, 0] for episode in (old, new)]
    assert focal[1] == pytest.approx(2 * focal[0])


def test_what_cannot_begin_takes_no_folder(
    told_by_table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_camera = variant(told_by_table / "part-1", tmp_path / "one", lambda key: "front" not in key)
    with pytest.raises(ContractError, match=r"differ .camera front"):
        augment("bridge?factor=table", (told_by_table / "part-0", one_camera), tmp_path / "out", workers=0)
    with pytest.raises(ConfigError, match="bridge needs several sub-datasets"):
        augment("bridge", told_by_table / "part-0", tmp_path / "out", workers=0)
    with pytest.raises(ConfigError, match="no camera 'front' to move"):
        augment("viewpoint", one_camera, tmp_path / "out", workers=0)
    with pytest.raises(ConfigError, match="another destination"):
        augment("duplicate", one_camera, one_camera, workers=0)
    for inside in (told_by_table / "new", told_by_table / "part-0" / "new"):
        with pytest.raises(ConfigError, match=r"lies in the source .*choose a destination beside it"):
            augment("duplicate", told_by_table, inside, workers=0)
        assert not inside.exists()
    with pytest.raises(ConfigError, match=r"holds sub-datasets: name it alone, or each .*part-0 .*part-1"):
        augment("duplicate", (told_by_table, one_camera), tmp_path / "out", workers=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="needs Ray"):
        augment("duplicate", one_camera, tmp_path / "out", ray="local")
    assert not (tmp_path / "out").exists()


def test_copies_are_told_otherwise_and_colours_follow_the_paint(told_by_table: Path, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("hand me the {attributes}\n")
    old = open_dataset(told_by_table / "part-0")
    spec = f"instructions?sentences={tmp_path}/own.txt&levels=name,attributes"
    augment(spec, old.folder, tmp_path / "told", workers=0)
    new = open_dataset(tmp_path / "told")
    for e in range(old.num_episodes):
        assert new.episode_digest(e) == old.episode_digest(e)
        copy = new.episode(old.num_episodes + e)
        check_same(old.episode(e), copy)
        name = old.meta(e)["task"].removeprefix("pick up the ")
        assert copy.meta["task"].startswith((f"pick up the {name}", "hand me the "))
        assert name.split()[0] in copy.meta["task"]
        assert copy.meta["qa"][0] == {"question": "How many objects lie on the table?", "answer": "1"}
    lines = [json.loads(line) for line in (new.folder / "qa.jsonl").read_text().splitlines()]
    assert [line["episode"] for line in lines] == [4, 5, 6, 7]  # the copies
    assert lines[0]["turns"] == new.meta(4)["qa"]
    augment("instructions?levels=attributes&keep=no+reskin", old.folder, tmp_path / "painted", workers=0)
    coloured = 0
    for e in range(old.num_episodes):
        before, after = old.meta(e), open_dataset(tmp_path / "painted").meta(e)
        if (colour := before["task"].removeprefix("pick up the ").split()[0]) in COLOURS:
            coloured += 1
            asked = {turn["question"]: turn["answer"] for turn in after["qa"]}
            assert after["factors"]["colours"][colour] in after["task"].split()
            assert asked["Which colours does it show?"] == after["factors"]["colours"][colour]
    assert coloured
