"""`data check` finds what was planted, nothing else, and repairs."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.core.files import read_json, write_json
from toyshift.data.episode import INDEX_FILE, Episode, write_episode
from toyshift.data.formats.convert import convert
from toyshift.data.loading.loader import Windows
from toyshift.data.store.checks import CHECKS, DROPPED, check_dataset
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.data.store.summary import summarise

NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
ACTIONS = ActionContract(
    "eef_delta", NAMES, ("m",) * 3 + ("rad",) * 3 + ("1",), (-0.5,) * 3 + (-0.3,) * 3 + (0.0,),
    (0.5,) * 3 + (0.3,) * 3 + (1.0,), 10.0, ("j0",),
)
OBSERVATIONS = ObservationContract((("front", (8, 8)),), ("j0", "gripper.opening"))
LENGTH = 24


def good_episode(index):
    """A hand that moves smoothly and closes its gripper in the middle."""
    rng = np.random.default_rng(index)
    command = np.where(np.arange(LENGTH) < 12, 1.0, 0.0)
    opening = np.clip(1.0 - 0.2 * (np.arange(LENGTH) - 12.0), 0.3, 1.0)
    action = np.zeros((LENGTH, 7), np.float32)
    action[:, 0], action[:, 6] = 0.02 + 0.005 * np.sin(np.arange(LENGTH)), command
    masks = np.zeros((LENGTH, 8, 8), np.uint8)
    masks[:, 2:4, 3:5], masks[:, 6:] = 1, 3
    frames = {
        "observation.images.front": rng.integers(
            0, 256, (LENGTH, 8, 8, 3), dtype=np.uint8
        ), "masks.front": masks, "action": action,
        "observation.state": np.stack([np.linspace(0, 1, LENGTH), opening], axis=1).astype(np.float32),
    }  # fmt: skip
    return Episode(index, frames, {"task": "lift", "success": True, "object_id": f"toy-{index}"})


def planted(kind, episode):
    """Returns the episode with one thing wrong."""
    frames = {k: v.copy() for k, v in episode.frames.items()}
    match kind:
        case "outside contract":
            frames["action"][5, 3] = 0.4
        case "gripper sign":
            frames["action"][:, 6] = 1.0 - frames["action"][:, 6]
        case "action jump":
            frames["action"][9, 1] = 0.45
        case "frozen camera":
            frames["observation.images.front"][4:16] = frames["observation.images.front"][4]
        case "duplicated frames":
            for key in ("observation.images.front", "observation.state", "action"):
                frames[key][1::2] = frames[key][0::2]
        case "empty masks":
            frames["masks.front"][frames["masks.front"] == 1] = 0
    return Episode(episode.index, frames, episode.meta)


def make(folder, episodes, data_file_mb=0.001):  # a file per episode
    for episode in episodes:
        write_episode(folder, episode)
    finalize(folder, ACTIONS, OBSERVATIONS, {}, data_file_mb=data_file_mb)
    return folder


def rewrite(folder, i, change):
    """Changes the columns of episode i's file, and notes its new size: a fault of whoever wrote it, not of the disk."""
    path = open_dataset(folder).file_of(i)
    table = pq.read_table(path)
    pq.write_table(change(table).cast(table.schema), path, row_group_size=len(table), write_page_checksum=True)


def test_a_good_dataset_has_no_problems(tmp_path):
    result = check_dataset(make(tmp_path / "d", [good_episode(i) for i in range(4)]))
    assert result.problems == ()
    assert result.to_json()["ok"] is True


@pytest.mark.parametrize(
    "kind", ["outside contract", "gripper sign", "action jump", "frozen camera", "duplicated frames", "empty masks"]
)
def test_what_was_planted_is_found_and_nothing_else(tmp_path, kind):
    episodes = [good_episode(i) for i in range(3)]
    episodes[1] = planted(kind, episodes[1])
    result = check_dataset(make(tmp_path / "d", episodes))
    assert {p.kind for p in result.problems} == {kind}
    assert result.bad == (1,)
    assert "file-001.parquet" in result.problems[0].file


def test_nan_and_wrong_times_of_another_writer_are_found(tmp_path):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(3)])

    def set_column(name, values):
        return lambda table: table.set_column(
            table.column_names.index(name), name, pa.array(values, table.schema.field(name).type)
        )

    state = open_dataset(folder).episode(0).frames["observation.state"].copy()
    state[7, 1] = np.nan
    rewrite(folder, 0, set_column("observation.state", state.tolist()))
    rewrite(folder, 2, set_column("timestamp", (np.arange(LENGTH) / 20.0).tolist()))
    found = {(p.episode, p.kind, p.frame) for p in check_dataset(folder).problems}
    assert {(0, "not finite", 7), (0, "changed", None), (2, "timestamps", 1)} == found


def test_the_same_episode_twice_is_found(tmp_path):
    twin = dataclasses.replace(good_episode(0), index=5)
    result = check_dataset(make(tmp_path / "d", [good_episode(0), good_episode(1), twin]))
    assert [(p.kind, p.episode) for p in result.problems] == [("duplicated episode", 2)]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damage_names_file_and_episode_and_repair_keeps_the_rest(tmp_path, damage):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(4)])
    good = [open_dataset(folder).episode_digest(i) for i in (0, 1, 3)]
    path = open_dataset(folder).file_of(2)
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    else:
        data[len(data) // 3] ^= 16
        path.write_bytes(data[: len(data) // 2] if damage == "truncated" else data)
    result = check_dataset(folder, tmp_path / "clean")
    assert result.bad == (2,)
    unreadable = [p for p in result.problems if p.kind == "unreadable"]
    assert path.name in unreadable[0].detail
    clean = open_dataset(tmp_path / "clean")
    assert [clean.episode_digest(i) for i in range(3)] == good
    assert clean.collected_indices == (0, 1, 3)
    dropped = read_json(tmp_path / "clean" / "dropped.json")
    assert [row["episode"] for row in dropped["dropped"]] == [2]
    assert dropped["kept"] == 3
    assert check_dataset(tmp_path / "clean").problems == ()


def test_wrong_totals_in_info_json_are_refused_and_repaired(tmp_path):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(2)])
    info = read_json(folder / "meta" / "info.json")
    write_json(folder / "meta" / "info.json", info | {"total_frames": 7})
    with pytest.raises(FileError, match=r"announces 2 episodes and 7 frames"):
        open_dataset(folder)
    result = check_dataset(folder, tmp_path / "clean")
    assert [p.kind for p in result.problems] == ["dataset"]
    assert open_dataset(tmp_path / "clean").num_frames == 2 * LENGTH


@pytest.mark.parametrize("name", ["info.json", "stats.json", "tasks.parquet"])
def test_metadata_that_say_nothing_new_are_complained_of_and_made_again(tmp_path, name):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(2)])
    whole = open_dataset(folder).content_hash()
    (folder / "meta" / name).write_text('{"fps": 10')
    with pytest.raises(FileError, match=name):
        open_dataset(folder)
    result = check_dataset(folder, tmp_path / "clean")
    assert [(p.kind, p.episode) for p in result.problems] == [("dataset", None)]
    assert name in str(result.problems[0])
    assert open_dataset(tmp_path / "clean").content_hash() == whole
    (folder / "meta" / name).unlink()
    assert [p.kind for p in check_dataset(folder).problems] == ["dataset"]


def test_metadata_that_say_where_episodes_are_cannot_be_done_without(tmp_path):
    folder = make(tmp_path / "d", [good_episode(0)])
    (folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet").unlink()
    with pytest.raises(FileError, match=r"file-000\.parquet is missing; restore"):
        check_dataset(folder)


def test_a_data_file_that_is_cut_off_loses_the_episodes_behind_the_cut_only(tmp_path):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(4)], data_file_mb=10)
    path = folder / "data" / "chunk-000" / "file-000.parquet"
    third = pq.ParquetFile(path).metadata.row_group(2).column(0)
    path.write_bytes(path.read_bytes()[: (third.dictionary_page_offset or third.data_page_offset) + 5])
    result = check_dataset(folder, tmp_path / "clean")
    assert result.bad == (2, 3)
    assert open_dataset(tmp_path / "clean").num_episodes == 2
    dropped = read_json(tmp_path / "clean" / DROPPED)["dropped"]
    assert [row["episode"] for row in dropped] == [2, 3]
    assert "truncated or damaged" in dropped[0]["why"][0]
    assert "--repair" in dropped[0]["why"][0]
    with pytest.raises(FileError, match=r"file-000\.parquet, episode [23]"):
        Windows([folder], chunk=2)


def test_an_episode_that_is_not_finite_is_named_before_training(tmp_path):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(2)])

    def spoil(table):
        actions = np.array(table["action"].to_pylist())
        actions[5, 1] = np.nan
        return table.set_column(table.schema.get_field_index("action"), "action", pa.array(actions.tolist()))

    rewrite(folder, 1, spoil)
    with pytest.raises(FileError, match=r"episode 1: .* is not finite in frame \d+.*--repair"):
        Windows([folder], chunk=2)
    with pytest.raises(FileError, match=r"episode 1.*not finite in frame.*--skip-damaged"):
        convert(folder, tmp_path / "a", "lerobot")
    assert list(convert(folder, tmp_path / "b", "lerobot", skip_damaged=True)["dropped"]) == ["1"]
    assert open_dataset(tmp_path / "b").num_episodes == 1


def test_a_dataset_without_episodes_is_named(tmp_path):
    folder = make(tmp_path / "d", [good_episode(0)])
    path = folder / "meta" / "episodes" / "chunk-000" / "file-000.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    (folder / "meta" / INDEX_FILE).write_text("")
    for name, change in (("toyshift.json", {"files": {}}), ("info.json", {"total_episodes": 0, "total_frames": 0})):
        write_json(folder / "meta" / name, read_json(folder / "meta" / name) | change)
    for use in (
        lambda: summarise(open_dataset(folder)), lambda: Windows([folder], chunk=1),
        lambda: convert(folder, tmp_path / "c", "lerobot"), lambda: check_dataset(folder, tmp_path / "e"),
    ):
        with pytest.raises(FileError, match=r"no episodes|none of its 0 episodes"):
            use()
    assert [str(p) for p in check_dataset(folder).problems] == [f"dataset: {folder}: holds no episodes"]


def test_nothing_can_be_converted(tmp_path):
    folder = make(tmp_path / "d", [good_episode(i) for i in range(2)])
    for path in (folder / "data" / "chunk-000").iterdir():
        path.unlink()
    with pytest.raises(FileError, match=r"none of its 2 episodes can be used; the first: .*is missing"):
        convert(folder, tmp_path / "c", "lerobot", skip_damaged=True)


def test_nothing_is_left_to_repair(tmp_path):
    folder = make(tmp_path / "d", [planted("empty masks", good_episode(i)) for i in range(2)])
    with pytest.raises(FileError, match="none of its 2 episodes is good"):
        check_dataset(folder, tmp_path / "clean")
    with pytest.raises(ConfigError, match="not empty"):
        check_dataset(folder, folder)


def test_actions_of_another_size_are_refused(tmp_path):
    write_episode(tmp_path / "d", good_episode(0))
    wider = ActionContract("joint_pos", ("a", "b"), ("rad", "1"), (0.0, 0.0), (1.0, 1.0), 10.0, ("a",))
    with pytest.raises(ContractError, match=r"column 'action' .*\(7,\).*\(2,\)"):
        finalize(tmp_path / "d", wider, OBSERVATIONS, {})


def test_every_check_is_listed():
    assert set(json.loads(json.dumps(list(CHECKS)))) == {
        "not finite", "outside contract", "gripper sign", "action jump", "frozen camera", "duplicated frames",
        "timestamps", "empty masks", "changed",
    }
