"""The layout on disk is LeRobot's, column by column, and a killed `finalize` completes."""

import base64
import dataclasses
import io
import json
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from toyshift.core.errors import ContractError, FileError
from toyshift.data.episode import episode_files, episode_indices, episode_path, stored_index, write_episode
from toyshift.data.store import lerobot
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.data.store.statistics import RunningStats, array_stats, histogram_stats

AUTO = {
    "timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"
}


def tables(folder):
    return pa.concat_tables([pq.read_table(p) for p in sorted((folder / "data").rglob("*.parquet"))])


def test_info_has_lerobots_fields(tmp_path, maker):
    maker.dataset(tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    total = sum(4 + i % 4 for i in range(5))
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (5, total, 2)
    assert (
        info["fps"], info["chunks_size"], info["data_files_size_in_mb"], info["splits"]
    ) == (20, 1000, 100, {"train": "0:5"})
    assert info["data_path"].format(chunk_index=0, file_index=0) == "data/chunk-000/file-000.parquet"
    features = info["features"]
    assert features["observation.images.front"] == {
        "dtype": "image", "shape": [8, 12, 3], "names": ["height", "width", "channels"]
    }
    assert features["action"] == {"dtype": "float32", "shape": [2], "names": ["j0", "gripper"]}
    assert features["camera.front.extrinsics"]["shape"] == [4, 4]
    assert {k: features[k]["dtype"] for k in AUTO} == AUTO
    assert set(features) == set(tables(tmp_path).column_names)


def test_only_images_become_cameras_and_only_observations_inputs(tmp_path, maker):
    maker.dataset(tmp_path)
    features = json.loads((tmp_path / "meta/info.json").read_text())["features"]
    cameras = {k for k, f in features.items() if f["dtype"] in ("image", "video")}
    assert cameras == {"observation.images.front", "observation.images.wrist"}
    assert features["masks.front"] == {"dtype": "string", "shape": [1], "names": None}
    assert {k for k in features if k.startswith(("observation", "action"))} == cameras | {"observation.state", "action"}


def test_columns_hold_the_recorded_values(tmp_path, maker):
    maker.dataset(tmp_path)
    table = tables(tmp_path)
    episodes = [maker.episode(i, 4 + i % 4) for i in range(5)]
    wanted = np.concatenate([e.frames["action"] for e in episodes])
    np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), wanted)
    assert table.schema.field("action").type == pa.list_(pa.float32(), 2)
    assert table.schema.field("camera.front.extrinsics").type == pa.list_(pa.list_(pa.float32()))
    assert table.schema.field("pressure").type == pa.float32()
    item = table["observation.images.wrist"][5].as_py()
    assert set(item) == {"bytes", "path"}
    with Image.open(io.BytesIO(item["bytes"])) as picture:
        np.testing.assert_array_equal(np.asarray(picture), episodes[1].frames["observation.images.wrist"][1])
    lengths = [len(e) for e in episodes]
    np.testing.assert_array_equal(table["index"], np.arange(sum(lengths)))
    np.testing.assert_array_equal(table["episode_index"], np.repeat(np.arange(5), lengths))
    np.testing.assert_array_equal(table["frame_index"], np.concatenate([np.arange(n) for n in lengths]))
    np.testing.assert_array_equal(table["task_index"], np.repeat([0, 1, 0, 1, 0], lengths))
    np.testing.assert_allclose(table["timestamp"], table["frame_index"].to_numpy() / 20.0, rtol=1e-6)


def test_masks_are_text_as_docs_say_base64_of_grey_png_files(tmp_path, maker):
    maker.dataset(tmp_path)
    text = tables(tmp_path)["masks.wrist"][5].as_py()
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as picture:
        assert (picture.format, picture.mode) == ("PNG", "L")
        np.testing.assert_array_equal(np.asarray(picture), maker.episode(1, 5).frames["masks.wrist"][1])


def test_the_schema_tells_hugging_face_what_is_an_image(tmp_path, maker):
    maker.dataset(tmp_path)
    schema = pq.read_schema(tmp_path / "data/chunk-000/file-000.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert set(features) == set(schema.names)
    assert features["observation.images.front"] == {"_type": "Image"}
    assert features["action"] == {"feature": {"dtype": "float32", "_type": "Value"}, "length": 2, "_type": "Sequence"}
    assert features["camera.front.intrinsics"] == {"shape": [3, 3], "dtype": "float32", "_type": "Array2D"}
    assert features["masks.front"] == {"dtype": "string", "_type": "Value"}


def test_files_roll_over_with_one_row_group_per_episode(tmp_path, maker):
    maker.dataset(tmp_path, data_file_mb=0.01)
    files = sorted((tmp_path / "data/chunk-000").glob("*.parquet"))
    assert len(files) > 1
    assert sum(pq.ParquetFile(p).num_row_groups for p in files) == 5
    rows = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    for row in rows:
        table = pq.read_table(
            tmp_path / f"data/chunk-{row['data/chunk_index']:03d}/file-{row['data/file_index']:03d}.parquet"
        )
        mask = table["episode_index"].to_numpy() == row["episode_index"]
        np.testing.assert_array_equal(
            table["index"].to_numpy()[mask], np.arange(row["dataset_from_index"], row["dataset_to_index"])
        )


def test_tasks_are_indexed_as_pandas_writes_them(tmp_path, maker):
    pandas = pytest.importorskip("pandas")
    maker.dataset(tmp_path)
    tasks = pandas.read_parquet(tmp_path / "meta/tasks.parquet")
    assert tasks.index.name == "task"
    assert tasks.loc["lift 1"].task_index == 1
    assert list(tasks.columns) == ["task_index"]


def test_statistics_are_numpys(tmp_path, maker):
    maker.dataset(tmp_path)
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    actions = np.concatenate([maker.episode(i, 4 + i % 4).frames["action"] for i in range(5)]).astype(float)
    images = np.concatenate([maker.episode(i, 4 + i % 4).frames["observation.images.front"] for i in range(5)]) / 255.0
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0))
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0))
    np.testing.assert_allclose(stats["action"]["q99"], np.quantile(actions, 0.99, axis=0), rtol=1e-6)
    assert stats["action"]["count"] == [len(actions)]
    assert np.shape(stats["observation.images.front"]["mean"]) == (3, 1, 1)
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["mean"]), images.mean((0, 1, 2)))
    np.testing.assert_allclose(np.ravel(stats["observation.images.front"]["std"]), images.std((0, 1, 2)))
    assert not any(k.startswith("masks") for k in stats)
    row = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[2]
    np.testing.assert_allclose(row["stats/action/max"], maker.episode(2, 6).frames["action"].max(0))
    assert (row["tasks"], row["length"], row["stats/action/count"]) == (["lift 0"], 6, [6])


def test_running_statistics_equal_those_of_all_rows(monkeypatch):
    monkeypatch.setattr("toyshift.data.store.statistics.MAX_ROWS", 50)
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, (int(n), 2)) for n in rng.integers(1, 60, 30)]
    running = RunningStats()
    for part in parts:
        running.add(part)
    wanted, got = array_stats(np.concatenate(parts)), running.result()
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(got[name], wanted[name])
    np.testing.assert_allclose(got["q50"], wanted["q50"], atol=1.0)


def test_histogram_quantiles_are_pixel_values():
    image = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 3, axis=1)
    histogram = np.stack([np.bincount(image[:, c], minlength=256) for c in range(3)])
    stats = histogram_stats(histogram, 1)
    np.testing.assert_allclose(np.ravel(stats["q50"]) * 255, 49)
    np.testing.assert_allclose(np.ravel(stats["max"]) * 255, 99)


def test_finalize_twice_does_nothing_the_second_time(tmp_path, maker):
    maker.dataset(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"}
    finalize(tmp_path, maker.actions, maker.observations, {})
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"} == before
    assert not (tmp_path / "episodes").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "meta"]


class Killed(BaseException):
    """Stands for kill -9: no handler may catch it."""


@pytest.mark.parametrize("victim", ["_write_rows", "_read_back", "write_text", "file_crc", "_swap_in", "episode_table"])
def test_killed_in_between_and_run_again_it_completes(tmp_path, maker, monkeypatch, victim):
    maker.collect(tmp_path / "a", range(4))
    maker.dataset(tmp_path / "b", range(4))
    real, calls = getattr(lerobot, victim), []

    def die(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2 or victim in ("_write_rows", "_read_back"):
            raise Killed
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(lerobot, victim, die)
        with pytest.raises(Killed):
            finalize(tmp_path / "a", maker.actions, maker.observations, {"seed": 0})
    assert episode_indices(tmp_path / "a") == set(range(4))
    with pytest.raises(FileError, match="not finished"):
        open_dataset(tmp_path / "a")
    finalize(tmp_path / "a", maker.actions, maker.observations, {"seed": 0})
    assert open_dataset(tmp_path / "a").content_hash(recompute=True) == open_dataset(tmp_path / "b").content_hash()
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["data", "meta"]


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_killed_between_the_renames_nothing_is_lost(tmp_path, maker, monkeypatch, after):
    maker.dataset(tmp_path, range(3))
    maker.collect(tmp_path, range(3, 6))
    real, calls = lerobot.shutil.rmtree, []

    def die(path, *args, **kwargs):
        if (tmp_path / ".finalize/READY").exists():
            calls.append(path)
            if len(calls) == after:
                raise Killed
        real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(lerobot.shutil, "rmtree", die)
        try:
            finalize(tmp_path, maker.actions, maker.observations, {})
        except Killed:
            assert episode_indices(tmp_path) == set(range(6))
    finalize(tmp_path, maker.actions, maker.observations, {})
    dataset = open_dataset(tmp_path)
    assert dataset.collected_indices == tuple(range(6))
    dataset.content_hash(recompute=True)


def test_more_episodes_join_a_finished_dataset(tmp_path, maker):
    maker.dataset(tmp_path / "a", [0, 2, 5])
    maker.collect(tmp_path / "a", [1, 7])
    assert episode_indices(tmp_path / "a") == {0, 1, 2, 5, 7}
    finalize(tmp_path / "a", maker.actions, maker.observations, {})
    maker.dataset(tmp_path / "b", [0, 1, 2, 5, 7])
    a, b = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    assert a.collected_indices == (0, 1, 2, 5, 7)
    assert a.content_hash(recompute=True) == b.content_hash()
    assert (tmp_path / "a/meta/stats.json").read_text() == (tmp_path / "b/meta/stats.json").read_text()


def test_a_truncated_episode_stops_finalize_and_is_named(tmp_path, maker):
    maker.collect(tmp_path, range(3))
    path = episode_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(FileError, match=r"episode-000001.*other 2 episodes are whole"):
        finalize(tmp_path, maker.actions, maker.observations, {})
    path.unlink()
    finalize(tmp_path, maker.actions, maker.observations, {})
    assert open_dataset(tmp_path).collected_indices == (0, 2)


def test_a_full_disk_is_reported_and_loses_nothing(tmp_path, maker, monkeypatch):
    maker.collect(tmp_path, range(3))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lerobot, "_write_rows", full)
        with pytest.raises(FileError, match=r"No space left.*make room and run the same command again"):
            finalize(tmp_path, maker.actions, maker.observations, {})
    assert not (tmp_path / ".finalize").exists()  # what is half written takes no room
    finalize(tmp_path, maker.actions, maker.observations, {})
    assert open_dataset(tmp_path).num_episodes == 3


def weight(folder):
    """Bytes of all files in a folder, links not followed twice."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and ".finalize/closed-" not in str(p))


SMALL = 0.02  # data files of so many megabytes hold three or four of the episodes below


def test_episodes_go_as_their_files_are_joined(tmp_path, maker, monkeypatch):
    maker.collect(tmp_path / "a", range(16), length=6)
    before, most, real = weight(tmp_path / "a/episodes"), [], lerobot.episode_table

    def watched(*args, **kwargs):
        most.append(weight(tmp_path / "a"))
        return real(*args, **kwargs)

    monkeypatch.setattr(lerobot, "episode_table", watched)
    finalize(tmp_path / "a", maker.actions, maker.observations, {"seed": 0}, data_file_mb=SMALL)
    assert max(most) < 1.5 * before  # twice as much at the end where all stay until then
    maker.dataset(tmp_path / "b", range(16), length=6)
    a, b = open_dataset(tmp_path / "a"), open_dataset(tmp_path / "b")
    assert a.content_hash(recompute=True) == b.content_hash()
    assert (tmp_path / "a/meta/stats.json").read_text() == (tmp_path / "b/meta/stats.json").read_text()
    a.verify()
    assert a.damaged_files() == []


def test_episodes_go_in_sixteen_steps_at_most(tmp_path, maker, monkeypatch):
    steps, note = [], lerobot._Layout.note

    def watched(layout):
        steps.append(len(layout))
        return note(layout)

    monkeypatch.setattr(lerobot._Layout, "note", watched)
    maker.dataset(tmp_path, range(31), length=1, data_file_mb=1e-6)  # every episode fills a file
    assert steps == list(range(2, 31, 2))


def moments(monkeypatch, folder, at, run):
    """Runs, and dies before the `at`-th change of a file or folder; says whether it came so far."""
    calls = []

    def dying(real):
        def change(*args, **kwargs):
            calls.append(1)
            if len(calls) == at:
                raise Killed
            return real(*args, **kwargs)

        return change

    with monkeypatch.context() as patch:
        for owner, name in [
            (lerobot.Path, "unlink"), (lerobot.Path, "replace"), (lerobot.Path, "symlink_to"),
            (lerobot.shutil, "rmtree"), (lerobot, "_read_back"), (lerobot, "episode_table"), (lerobot, "write_encoded"),
        ]:
            patch.setattr(owner, name, dying(getattr(owner, name)))
        try:
            run()
        except Killed:
            return True
    return False


@pytest.mark.parametrize("before", ["nothing", "the same", "others of the same numbers"])
def test_killed_at_any_moment_of_freeing_no_episode_is_lost(tmp_path, maker, monkeypatch, before):
    length = 4
    wanted = open_dataset(maker.dataset(tmp_path / "wanted", range(8), length=length))
    hashed = wanted.content_hash()

    def require_all(folder, at):
        assert episode_indices(folder) == set(range(8)), at
        noted = {row["collected_index"]: row["digest"] for row in stored_index(folder)}
        assert all(noted[i] == wanted.episode_digest(i) for i in set(range(8)) - episode_files(folder)), at

    at, killed = 1, True
    while killed:
        folder = tmp_path / f"at-{at}"
        if before != "nothing":
            maker.dataset(folder, range(4), length=length, seed=int(before != "the same"), data_file_mb=SMALL)
        maker.collect(folder, range(8), length=length)

        def run(folder=folder):
            finalize(folder, maker.actions, maker.observations, {"seed": 0}, data_file_mb=SMALL)

        killed = moments(monkeypatch, folder, at, run)
        require_all(folder, at)
        if killed and at % 3 == 0:  # and while it takes back what it had freed
            moments(monkeypatch, folder, 1 + at % 7, run)
            require_all(folder, at)
        run()
        assert open_dataset(folder).content_hash(recompute=at % 5 == 0) == hashed
        assert {p.name for p in folder.iterdir()} - {".cache"} == {"data", "meta"}
        lerobot.shutil.rmtree(folder)
        at += 7
    assert at > 40


def test_a_disk_that_is_full_after_some_episodes_went_keeps_them_all(tmp_path, maker, monkeypatch):
    maker.collect(tmp_path / "a", range(9), length=4)
    real, calls = lerobot.episode_table, []

    def full(*args, **kwargs):
        calls.append(1)
        if len(calls) == 8:
            raise OSError(28, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(lerobot, "episode_table", full)
        with pytest.raises(FileError, match="No space left"):
            finalize(tmp_path / "a", maker.actions, maker.observations, {"seed": 0}, data_file_mb=SMALL)
    assert len(list((tmp_path / "a/episodes").iterdir())) < 9
    assert episode_indices(tmp_path / "a") == set(range(9))
    maker.dataset(tmp_path / "b", range(9), length=4)
    finalize(tmp_path / "a", maker.actions, maker.observations, {"seed": 0}, data_file_mb=SMALL)
    assert open_dataset(tmp_path / "a").content_hash(recompute=True) == open_dataset(tmp_path / "b").content_hash()


def test_the_room_is_asked_for_before_anything_is_written(tmp_path, maker, monkeypatch):
    maker.collect(tmp_path, range(3))
    usage = type("Usage", (), {"free": 1000})
    with monkeypatch.context() as patch:
        patch.setattr(lerobot.shutil, "disk_usage", lambda folder: usage)
        with pytest.raises(FileError, match=r"takes about 0\.\d MB beside its episodes, 0\.0 MB are free.*make room"):
            finalize(tmp_path, maker.actions, maker.observations, {})
    assert [p.name for p in tmp_path.iterdir()] == ["episodes"]
    finalize(tmp_path, maker.actions, maker.observations, {})


@pytest.fixture
def disk(tmp_path):
    """Mounts a disk of so many bytes; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options):
        words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(place)]
        if subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], check=False)


def test_a_disk_of_one_and_a_half_times_the_episodes_is_enough(tmp_path, maker, disk):
    size = weight(maker.collect(tmp_path / "b", range(40), length=6))
    folder = maker.collect(disk(f"size={int(1.5 * size)}") / "a", range(40), length=6)
    finalize(folder, maker.actions, maker.observations, {"seed": 0}, data_file_mb=SMALL)
    finalize(tmp_path / "b", maker.actions, maker.observations, {"seed": 0})
    assert open_dataset(folder).content_hash(recompute=True) == open_dataset(tmp_path / "b").content_hash()


def test_what_is_said_of_a_folder_that_may_only_be_read_helps(tmp_path, maker, disk):
    folder = disk("size=1m", "ro")
    with pytest.raises(FileError, match=r"Read-only.*choose a place where you may read and write") as refused:
        maker.collect(folder, range(1))
    assert "make room" not in str(refused.value)
    maker.dataset(tmp_path / "another place", range(1))


def test_nothing_to_finalize_is_an_error(tmp_path, maker):
    with pytest.raises(FileError, match="no episodes"):
        finalize(tmp_path, maker.actions, maker.observations, {})
    with pytest.raises(FileError, match="does not exist"):
        finalize(tmp_path / "nowhere", maker.actions, maker.observations, {})


def test_episodes_that_do_not_fit_the_contract_are_refused(tmp_path, maker):
    maker.collect(tmp_path, range(2))
    wide = dataclasses.replace(maker.actions, names=("a", "b", "c"), units=("1",) * 3, low=(0.0,) * 3, high=(1.0,) * 3)
    with pytest.raises(ContractError, match="'action'"):
        finalize(tmp_path, wide, maker.observations, {})
    assert episode_indices(tmp_path) == {0, 1}


def test_an_episode_with_other_columns_is_named(tmp_path, maker):
    maker.collect(tmp_path, range(2))
    odd = maker.episode(2)
    write_episode(
        tmp_path, dataclasses.replace(odd, frames={k: v for k, v in odd.frames.items() if k != "masks.wrist"})
    )
    with pytest.raises(ContractError, match=r"episode-000002.*masks\.wrist"):
        finalize(tmp_path, maker.actions, maker.observations, {})
    assert episode_indices(tmp_path) == {0, 1, 2}


def test_new_episodes_under_another_contract_are_refused(tmp_path, maker):
    maker.dataset(tmp_path, range(2))
    maker.collect(tmp_path, [2])
    with pytest.raises(ContractError, match="control_hz"):
        finalize(tmp_path, dataclasses.replace(maker.actions, control_hz=10.0), maker.observations, {})
