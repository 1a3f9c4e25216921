"""Collected episodes come back bit by bit, and damaged files are told from whole ones."""

import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toyshift.core.errors import ConfigError, FileError
from toyshift.data.episode import Episode, digest, episode_indices, episode_path, read_episode, write_episode
from toyshift.data.png import decode_png, encode_png


def make_episode(index: int = 0, length: int = 5, seed: int = 0) -> Episode:
    rng = np.random.default_rng([seed, index])
    frames = {
        "observation.images.front": rng.integers(0, 256, (length, 8, 12, 3), dtype=np.uint8),
        "masks.front": rng.integers(0, 4, (length, 8, 12), dtype=np.uint8),
        "observation.state": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.normal(size=(length, 2)).astype(np.float32),
        "sim.state": rng.normal(size=(length, 6)),
        "camera.front.extrinsics": rng.normal(size=(length, 4, 4)).astype(np.float32),
        "next.done": np.arange(length) == length - 1,
    }
    return Episode(index, frames, {"task": "lift", "success": True, "seed": seed, "factors": {"azimuth": 0.25}})


def assert_same(a: Episode, b: Episode) -> None:
    assert a.meta == b.meta
    assert a.frames.keys() == b.frames.keys()
    for key, value in a.frames.items():
        assert value.dtype == b.frames[key].dtype
        np.testing.assert_array_equal(value, b.frames[key], err_msg=key)


def test_an_episode_comes_back_exactly(tmp_path):
    episode = make_episode(7)
    path = write_episode(tmp_path, episode)
    assert path == episode_path(tmp_path, 7)
    assert path.name == "episode-000007.npz"
    assert_same(read_episode(tmp_path, 7), episode)
    assert read_episode(tmp_path, 7).index == 7


def test_writing_again_replaces_and_leaves_nothing_behind(tmp_path):
    write_episode(tmp_path, make_episode(0, seed=1))
    write_episode(tmp_path, make_episode(0, seed=2))
    assert_same(read_episode(tmp_path, 0), make_episode(0, seed=2))
    assert len(list((tmp_path / "episodes").iterdir())) == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 2**32 - 1))
def test_png_is_lossless_and_real_png(height, width, colour, seed):
    image = np.random.default_rng(seed).integers(
        0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8
    )
    data = encode_png(image)
    np.testing.assert_array_equal(decode_png(data, image.shape, "here"), image)
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB" if colour else "L")
        picture.verify()


def test_png_files_of_others_are_read_and_damaged_ones_refused():
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    np.testing.assert_array_equal(decode_png(buffer.getvalue(), image.shape, "here"), image)
    with pytest.raises(FileError, match=r"here.*\(9, 7, 3\).*\(9, 8, 3\)"):
        decode_png(encode_png(image), (9, 8, 3), "here")
    whole = encode_png(image)
    for data in (b"", b"nonsense", whole[:-30], whole[:60] + bytes([whole[60] ^ 16]) + whole[61:]):
        with pytest.raises(FileError, match="here"):
            decode_png(data, image.shape, "here")


def test_a_truncated_file_is_no_episode_and_is_named(tmp_path):
    for i in range(3):
        write_episode(tmp_path, make_episode(i))
    path = episode_path(tmp_path, 1)
    path.write_bytes(path.read_bytes()[:-100])
    assert episode_indices(tmp_path) == {0, 2}
    with pytest.raises(FileError, match=r"episode-000001\.npz is truncated"):
        read_episode(tmp_path, 1)
    assert_same(read_episode(tmp_path, 2), make_episode(2))


def test_a_flipped_bit_is_found(tmp_path):
    path = write_episode(tmp_path, make_episode(0))
    data = bytearray(path.read_bytes())
    place = data.find(make_episode(0).frames["sim.state"].tobytes())
    assert place > 0
    data[place + 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(FileError, match="episode-000000"):
        read_episode(tmp_path, 0)


def test_a_missing_episode_is_named_with_what_is_there(tmp_path):
    write_episode(tmp_path, make_episode(3))
    with pytest.raises(FileError, match=r"episode-000004.*\[3\]"):
        read_episode(tmp_path, 4)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("action", np.full((5, 2), np.nan, np.float32), "not finite in frame 0"),
        ("action", np.zeros((4, 2), np.float32), "same number of frames"),
        ("action", np.zeros((5, 2), np.complex64), "complex64"),
        ("observation.images.front", np.zeros((5, 8, 12, 3), np.float32), "images are"),
        ("masks.front", np.zeros((5, 8, 12, 1), np.uint8), "masks"),
        ("frame_index", np.arange(5), "filled in"),
        ("a/b", np.arange(5), "filled in"),
    ],
)
def test_malformed_episodes_are_refused(tmp_path, key, value, message):
    episode = make_episode()
    bad = dataclasses.replace(episode, frames={"observation.state": episode.frames["observation.state"], key: value})
    with pytest.raises(ConfigError, match=message):
        write_episode(tmp_path, bad)
    assert episode_indices(tmp_path) == set()


def test_meta_must_be_json(tmp_path):
    with pytest.raises(ConfigError, match="JSON"):
        write_episode(tmp_path, dataclasses.replace(make_episode(), meta={"seed": np.int64(1)}))


def test_the_digest_sees_every_value_but_not_private_meta():
    episode = make_episode()
    same = digest(episode.frames, episode.meta | {"_seconds": 1.0})
    assert same == digest(episode.frames, episode.meta)
    for key in episode.frames:
        changed = {k: v.copy() for k, v in episode.frames.items()}
        changed[key].reshape(-1).view(np.uint8)[-1] ^= 1
        assert digest(changed, episode.meta) != same, key
    assert digest(episode.frames, episode.meta | {"seed": 99}) != same
