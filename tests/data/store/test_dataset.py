"""Reading back gives what was recorded; every kind of damage is named; the content hash follows values, not files."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from toyshift.core.errors import ConfigError, ContractError, FileError, UnknownNameError
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.data.store.provenance import provenance, runs


def test_episodes_come_back_exactly(tmp_path, maker):
    maker.dataset(tmp_path, [1, 4, 6])
    dataset = open_dataset(tmp_path)
    assert (dataset.num_episodes, dataset.num_frames, dataset.collected_indices) == (3, 5 + 4 + 6, (1, 4, 6))
    assert dataset.action_contract == maker.actions
    assert dataset.observation_contract == maker.observations
    assert dataset.manifest == {"seed": 0}
    for i, collected in enumerate((1, 4, 6)):
        wanted, got = maker.episode(collected, 4 + collected % 4), dataset.episode(i)
        assert got.index == i
        assert got.meta == wanted.meta == dataset.meta(i)
        assert got.frames.keys() == wanted.frames.keys()
        for key, value in wanted.frames.items():
            assert got.frames[key].dtype == value.dtype
            np.testing.assert_array_equal(got.frames[key], value, err_msg=key)
    assert [len(e) for e in dataset] == [5, 4, 6]


@pytest.mark.parametrize(("numbers", "found"), [
    (set(), []), ({4}, [(4, 4)]), ({0, 1, 2, 5, 7, 8}, [(0, 2), (5, 5), (7, 8)]),
])
def test_numbers_as_runs(numbers, found):
    assert runs(numbers) == found


def test_provenance_says_objects_and_starts(tmp_path, maker):
    maker.dataset(tmp_path, [1, 4, 6])
    dataset = open_dataset(tmp_path)
    found = provenance(dataset)
    assert found["content_hash"] == dataset.content_hash()
    assert found["object_ids"] == sorted({dataset.meta(i)["object_id"] for i in range(3)})
    assert found["starts"] == []  # which these do not say
    assert "other_ids" not in found


def test_provenance_says_what_lay_beside_the_grasped_objects(tmp_path, maker, monkeypatch):
    dataset = open_dataset(maker.dataset(tmp_path, [1, 4]))
    meta, beside = dataset.meta, (["b", "a"], ["a", "c"])
    monkeypatch.setattr(dataset, "meta", lambda i: {**meta(i), "others": beside[i]})
    assert provenance(dataset)["other_ids"] == ["a", "b", "c"]


def test_some_columns_can_be_read_alone(tmp_path, maker):
    dataset = open_dataset(maker.dataset(tmp_path))
    frames = dataset.episode(2, ["sim.state", "masks.wrist"]).frames
    assert set(frames) == {"sim.state", "masks.wrist"}
    np.testing.assert_array_equal(frames["sim.state"], maker.episode(2, 6).frames["sim.state"])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'sim\.state'"):
        dataset.episode(2, ["sim.stat"])


def test_scalars_and_columns_of_one_entry_keep_their_shapes(tmp_path, maker):
    episode = maker.episode(0)
    extra = {
        "scalar": np.arange(6, dtype=np.float32), "one": np.arange(6, dtype=np.int64)[:, None],
        "cube": np.arange(48, dtype=np.uint8).reshape(6, 2, 2, 2),
    }
    write_episode(tmp_path, Episode(0, episode.frames | extra, episode.meta))
    finalize(tmp_path, maker.actions, maker.observations, {})
    frames = open_dataset(tmp_path).episode(0).frames
    for key, value in extra.items():
        np.testing.assert_array_equal(frames[key], value)
        assert frames[key].shape == value.shape


def test_reading_an_episode_reads_one_row_group(tmp_path, maker, monkeypatch):
    maker.dataset(tmp_path)
    dataset = open_dataset(tmp_path)
    read = []
    real = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, i, **options: read.append(i) or real(self, i, **options)
    )
    dataset.episode(3)
    assert read == [3]


def test_the_hash_is_of_values_not_of_files(tmp_path, maker):
    maker.dataset(tmp_path / "one")
    maker.dataset(tmp_path / "many", data_file_mb=0.01)
    maker.dataset(tmp_path / "sparse", [0, 1, 2, 3, 4])
    hashes = {
        open_dataset(tmp_path / n).content_hash(recompute=r) for n in ("one", "many", "sparse") for r in (False, True)
    }
    assert len(hashes) == 1


def test_one_pixel_or_one_order_changes_the_hash(tmp_path, maker):
    reference = open_dataset(maker.dataset(tmp_path / "a", range(3))).content_hash()
    maker.collect(tmp_path / "b", range(3))
    episode = maker.episode(1, 5)
    pixels = episode.frames["observation.images.wrist"].copy()
    pixels[2, 3, 4, 1] ^= 1
    write_episode(
        tmp_path / "b", dataclasses.replace(episode, frames=episode.frames | {"observation.images.wrist": pixels})
    )
    finalize(tmp_path / "b", maker.actions, maker.observations, {"seed": 0})
    assert open_dataset(tmp_path / "b").content_hash() != reference
    for i, source in enumerate((0, 2, 1)):
        write_episode(tmp_path / "c", dataclasses.replace(maker.episode(source, 4 + source % 4), index=i))
    finalize(tmp_path / "c", maker.actions, maker.observations, {"seed": 0})
    assert open_dataset(tmp_path / "c").content_hash() != reference


def test_a_truncated_data_file_is_named_and_the_others_stay_usable(tmp_path, maker):
    maker.dataset(tmp_path, range(6), data_file_mb=0.01)
    dataset = open_dataset(tmp_path)
    assert dataset.damaged_files() == []
    first = tmp_path / "data/chunk-000/file-000.parquet"
    first.write_bytes(first.read_bytes()[:-20])
    assert open_dataset(tmp_path).episode(0).frames["action"].shape == (4, 2)  # meta/ has a copy of the end of the file
    first.write_bytes(first.read_bytes()[:100])
    dataset = open_dataset(tmp_path)
    assert dataset.damaged_files() == ["data/chunk-000/file-000.parquet"]
    with pytest.raises(FileError, match=r"file-000\.parquet, episode 0.*truncated or damaged"):
        dataset.episode(0)
    np.testing.assert_array_equal(dataset.episode(5).frames["action"], maker.episode(5, 5).frames["action"])


def test_every_flipped_bit_in_a_page_is_found(tmp_path, maker):
    maker.dataset(tmp_path, range(2), length=20)
    path = tmp_path / "data/chunk-000/file-000.parquet"
    whole = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(1)
    rng = np.random.default_rng(0)
    dataset = open_dataset(tmp_path)
    for c in range(group.num_columns):
        column = group.column(c)
        if column.path_in_schema.split(".")[0] in (
            "timestamp", "frame_index", "task_index"
        ) or column.path_in_schema.endswith(".path"):
            continue  # not read: they follow from the others
        data = bytearray(whole)
        first = column.dictionary_page_offset or column.data_page_offset
        data[first + column.total_compressed_size - 1 - int(rng.integers(8))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(FileError, match=r"file-000\.parquet"):
            dataset.episode(1)
        with pytest.raises(FileError, match="CRC"):
            dataset.verify()
    path.write_bytes(whole)
    dataset.verify()


def test_missing_files_are_named(tmp_path, maker):
    maker.dataset(tmp_path)
    (tmp_path / "data/chunk-000/file-000.parquet").unlink()
    with pytest.raises(FileError, match=r"file-000\.parquet is missing; restore"):
        open_dataset(tmp_path)
    with pytest.raises(FileError, match="is no dataset"):
        open_dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "name", ["tasks.parquet", "stats.json", "toyshift_episodes.jsonl", "episodes/chunk-000/file-000.parquet"]
)
def test_damaged_meta_files_are_named(tmp_path, maker, name):
    maker.dataset(tmp_path)
    path = tmp_path / "meta" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileError, match=path.name):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebase_version": "v2.1"}, "v2.1"),
        ({"total_frames": 7}, "announces 5 episodes and 7 frames"),
        ({"total_episodes": 4}, "announces 4 episodes"),
        ({"fps": 10}, "fps is 10"),
        ({"features": {}}, "features"),
        ({"data_path": None}, "missing|unreadable"),
    ],
)
def test_a_wrong_info_is_refused(tmp_path, maker, change, message):
    maker.dataset(tmp_path)
    path = tmp_path / "meta/info.json"
    info = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in info.items() if v is not None}))
    with pytest.raises(FileError, match=message):
        open_dataset(tmp_path)


def test_info_that_is_no_json_is_refused(tmp_path, maker):
    maker.dataset(tmp_path)
    path = tmp_path / "meta/info.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(FileError, match=r"info\.json is not valid JSON"):
        open_dataset(tmp_path)


def test_a_damaged_contract_is_cured_as_its_message_says(tmp_path, maker):
    maker.dataset(tmp_path / "d")
    path, copy = tmp_path / "d/meta/toyshift.json", (tmp_path / "d/meta/toyshift.json").read_bytes()
    path.write_bytes(copy[:100])
    with pytest.raises(FileError, match=r"toyshift\.json is not valid JSON") as refused:
        open_dataset(tmp_path / "d")
    assert "delete it and run" not in str(refused.value)  # without the file nobody knows what the actions mean
    advice = "restore it from a copy, or delete the folder and run the command that made it again"
    assert advice in str(refused.value)
    path.unlink()
    with pytest.raises(ContractError, match=advice):
        open_dataset(tmp_path / "d")
    path.write_bytes(copy)
    assert open_dataset(tmp_path / "d").num_episodes == 5
    shutil.rmtree(tmp_path / "d")
    maker.dataset(tmp_path / "d")
    assert open_dataset(tmp_path / "d").num_episodes == 5


def test_a_dataset_without_contract_is_refused(tmp_path, maker):
    maker.dataset(tmp_path)
    (tmp_path / "meta/toyshift.json").unlink()
    with pytest.raises(ContractError, match="no action contract"):
        open_dataset(tmp_path)


def test_unfinished_folders_and_unknown_episodes_say_what_to_do(tmp_path, maker):
    maker.collect(tmp_path / "open", range(2))
    with pytest.raises(FileError, match="not finished"):
        open_dataset(tmp_path / "open")
    dataset = open_dataset(maker.dataset(tmp_path / "done", range(2)))
    with pytest.raises(ConfigError, match=r"no episode 2; available: 0\.\.1"):
        dataset.episode(2)


def test_a_folder_may_be_called_like_an_address(tmp_path, maker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    maker.dataset(Path("a:b"), range(2), 3)  # Arrow takes a relative path of this name for one
    assert open_dataset(Path("a:b")).num_episodes == 2
    assert open_dataset(Path("a:b")).episode(0).frames["action"].shape == (3, 2)
