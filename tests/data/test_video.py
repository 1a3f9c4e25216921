"""Large images as video: what is read is what was hashed, joining loses nothing, masks stay exact, damage is named."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ContractError, FileError
from toyshift.data.episode import FINALIZING, Episode, digest, encode_episode, read_episode, write_episode
from toyshift.data.loading.loader import Windows
from toyshift.data.store import lerobot
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.data.video import clip_crc, decode_clip, encode_clip, is_video_size

ACTIONS = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))
SIZE = (164, 170)
IMAGE, MASK = "observation.images.front", "masks.front"


def episode(index: int, length: int = 5, size: tuple[int, int] = SIZE) -> Episode:
    y, x = np.mgrid[: size[0], : size[1]]
    images = np.stack([np.stack(
        [128 + 90 * np.sin((x + 4 * t) / 25 + index), 128 + 90 * np.cos((y - 3 * t) / 30), (x + y) / 2.0], axis=-1
    ) for t in range(length)])
    images[:, 40:80, 60:100] = (200, 40, 30)
    rng = np.random.default_rng(index)
    frames = {
        IMAGE: images.clip(0, 255).astype(np.uint8), MASK: rng.integers(0, 4, (length, *size), dtype=np.uint8),
        "observation.state": rng.normal(size=(length, 2)).astype(np.float32),
        "action": rng.uniform(0, 1, (length, 2)).astype(np.float32),
    }
    return Episode(index, frames, {"task": "lift", "success": True, "seed": 0})


def write(folder: Path, indices: range, size: tuple[int, int] = SIZE) -> Path:
    for i in indices:
        write_episode(folder, episode(i, 4 + i, size))
    finalize(folder, ACTIONS, ObservationContract((("front", size),), ("a", "b")), {})
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "d", range(3))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_colours_survive() -> None:
    images = episode(0).frames[IMAGE]
    clip = encode_clip(images)
    decoded = decode_clip(clip, images.shape[1:], "here")
    assert psnr(decoded, images) > 33
    assert np.abs(decoded.astype(int) - images).mean(axis=(0, 1, 2)).max() < 3  # in every channel
    np.testing.assert_allclose(decoded[:, 50:70, 70:90].mean(axis=(0, 1, 2)), (200, 40, 30), atol=4)


@pytest.mark.parametrize("filling", ["1", "2", "170"])
def test_the_same_images_give_the_same_clip_whatever_was_in_memory(tmp_path: Path, filling: str) -> None:
    images = episode(0).frames[IMAGE]
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from toyshift.data.video import encode_clip; "
        "sys.stdout.buffer.write(encode_clip(np.load(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "images.npy")]
    environment = os.environ | {"MALLOC_PERTURB_": filling}  # glibc fills new memory with it
    assert subprocess.run(command, env=environment, check=True, capture_output=True).stdout == encode_clip(images)


@pytest.mark.parametrize(
    ("size", "video"), [((160, 160), False), ((96, 162), True), ((224, 224), True), ((225, 224), False)]
)
def test_images_up_to_160_pixels_and_of_odd_sides_stay_png(size: tuple[int, int], video: bool) -> None:
    assert is_video_size((*size, 3)) == video
    encoded = encode_episode(episode(0, 1, size))
    assert (IMAGE in encoded.videos, IMAGE in encoded.pngs) == (video, not video)
    assert MASK in encoded.pngs
    assert not encode_episode(episode(0, 1, size), video=False).videos


def test_a_collected_file_gives_what_the_layout_gives(dataset: Path, tmp_path: Path) -> None:
    write_episode(tmp_path, episode(1, 5))
    collected, stored = read_episode(tmp_path, 1), open_dataset(dataset).episode(1)
    for key, values in collected.frames.items():
        np.testing.assert_array_equal(values, stored.frames[key])
    np.testing.assert_array_equal(stored.frames[MASK], episode(1, 5).frames[MASK])
    assert digest(stored.frames, stored.meta) == open_dataset(dataset).episode_digest(1)
    open_dataset(dataset).content_hash(recompute=True)


def test_the_layout_is_lerobots(dataset: Path) -> None:
    info = json.loads((dataset / "meta" / "info.json").read_text())
    feature = info["features"][IMAGE]
    assert (
        feature["dtype"], feature["shape"], feature["info"]["video.codec"], feature["info"]["video.fps"]
    ) == ("video", [*SIZE, 3], "h264", 20)
    assert info["features"][MASK]["dtype"] == "string"
    assert IMAGE not in pq.read_schema(dataset / "data/chunk-000/file-000.parquet").names
    rows = pq.read_table(dataset / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    times = [(row[f"videos/{IMAGE}/from_timestamp"], row[f"videos/{IMAGE}/to_timestamp"]) for row in rows]
    np.testing.assert_allclose(times, [(0.0, 0.2), (0.2, 0.45), (0.45, 0.75)])  # 4, 5 and 6 frames at 20 Hz
    assert (dataset / "videos" / IMAGE / "chunk-000/file-000.mp4").exists()
    means = np.mean(open_dataset(dataset).episode(0).frames[IMAGE] / 255.0, axis=(0, 1, 2))
    np.testing.assert_allclose(np.array(rows[0][f"stats/{IMAGE}/mean"]), means.reshape(3, 1, 1))


def test_episodes_that_come_later_cost_the_first_ones_nothing(dataset: Path, tmp_path: Path) -> None:
    write(tmp_path / "d", range(2))
    before = open_dataset(tmp_path / "d").encoded(1).videos[IMAGE]
    write(tmp_path / "d", range(2, 3))
    after = open_dataset(tmp_path / "d")
    assert clip_crc(after.encoded(1).videos[IMAGE]) == clip_crc(before)
    assert after.content_hash(recompute=True) == open_dataset(dataset).content_hash()


def test_episodes_go_however_unevenly_the_kinds_of_files_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a camera that sees noise a file is full after an episode, of the data none before the end."""
    folder, noise = tmp_path / "d", np.random.default_rng(0)
    for i in range(8):
        made = episode(i)
        frames = made.frames | {IMAGE: noise.integers(0, 256, (5, *SIZE, 3), dtype=np.uint8)}
        write_episode(folder, Episode(i, frames, made.meta))
    before, most, real = bytes_in(folder / "episodes"), [], lerobot.episode_table

    def watched(*args: Any, **options: Any) -> Any:
        most.append(bytes_in(folder / "episodes") + bytes_in(folder / FINALIZING / "videos"))
        return real(*args, **options)

    monkeypatch.setattr(lerobot, "VIDEO_FILE_MB", 0.01)
    monkeypatch.setattr(lerobot, "episode_table", watched)
    finalize(folder, ACTIONS, ObservationContract((("front", SIZE),), ("a", "b")), {})
    assert max(most) < 1.3 * before  # 1.6 times as much where the data's file keeps all
    open_dataset(folder).content_hash(recompute=True)


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_windows_show_the_frames_of_the_video(dataset: Path) -> None:
    windows = Windows([dataset], chunk=2)
    batch = windows.batch([5])
    np.testing.assert_array_equal(batch[IMAGE][0, 0], open_dataset(dataset).episode(1).frames[IMAGE][1])


def test_damage_names_the_file_and_the_episode_and_leaves_the_others(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", range(3))
    path = folder / "videos" / IMAGE / "chunk-000/file-000.mp4"
    whole = path.read_bytes()
    clip = open_dataset(folder).encoded(2).videos[IMAGE]
    middle = clip[clip.index(b"moov") - 70 :][:60]  # the last compressed picture
    at = whole.index(middle) + 30
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :])
    found = open_dataset(folder)
    with pytest.raises(FileError, match=r"file-000\.mp4, episode 2.*CRC-32"):
        found.episode(2)
    assert len(found.episode(0)) == 4
    assert len(found.episode(2, ["action"])) == 6  # what is no video stays readable
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"file-000\.mp4"):
        open_dataset(folder).episode(2)
    path.unlink()
    with pytest.raises(FileError, match="missing"):
        open_dataset(folder)


def test_png_and_video_do_not_mix(tmp_path: Path) -> None:
    write_episode(tmp_path, episode(0))
    write_episode(tmp_path, episode(1, size=(160, 160)))
    with pytest.raises(ContractError, match="video here"):
        finalize(tmp_path, ACTIONS, ObservationContract((("front", SIZE),), ("a", "b")), {})
