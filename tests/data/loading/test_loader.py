"""Windows equal the recorded frames, padding and contracts are respected, draws are a function of seed and step."""

import dataclasses
import shutil
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toyshift.data
from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.data.episode import write_episode
from toyshift.data.loading import cache
from toyshift.data.loading.loader import Windows
from toyshift.data.loading.sampler import BLOCK, Sampler
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize


def test_every_window_equals_the_recorded_frames(tmp_path, maker):
    maker.dataset(tmp_path, [1, 2, 3])
    windows = Windows([tmp_path], chunk=3)
    assert len(windows) == 5 + 6 + 7
    batch = windows.batch(np.arange(len(windows))[::-1])
    row = len(windows)
    for number, collected in enumerate((1, 2, 3)):
        frames = maker.episode(collected, 4 + collected % 4).frames
        length = len(frames["action"])
        for t in range(length):
            row -= 1
            for key in (
                "observation.images.front", "observation.images.wrist", "masks.front", "masks.wrist",
                "observation.state",
            ):
                np.testing.assert_array_equal(batch[key][row, 0], frames[key][t])
            steps = np.arange(t, t + 3)
            np.testing.assert_array_equal(batch["action"][row], frames["action"][np.minimum(steps, length - 1)])
            np.testing.assert_array_equal(batch["action_is_pad"][row], steps >= length)
            assert (batch["episode_index"][row], batch["frame_index"][row]) == (number, t)
            assert batch["task"][row] == f"lift {collected % 2}"
    assert batch["dataset_name"] == [tmp_path.name] * len(windows)
    assert batch["observation.images.front"].dtype == batch["masks.front"].dtype == np.uint8
    assert batch["observation.state"].dtype == batch["action"].dtype == np.float32


def test_a_history_holds_the_frames_before_and_says_what_is_padding(tmp_path, maker):
    folders = [maker.dataset(tmp_path / name, range(3), seed=i) for i, name in enumerate("ab")]
    seen = Windows(folders, chunk=2, history=3, stride=2)
    now = Windows(folders, chunk=2)
    assert len(seen) == len(now)
    order = np.random.default_rng(0).permutation(len(now))
    batch, newest, every = seen.batch(order), now.batch(order), now.batch(np.arange(len(now)))
    assert "history_is_pad" not in newest
    for row, index in enumerate(order):
        frame = int(batch["frame_index"][row])
        steps = frame + np.array([-4, -2, 0])
        np.testing.assert_array_equal(batch["history_is_pad"][row], steps < 0)
        rows = index - frame + np.maximum(steps, 0)
        for key in ("observation.images.front", "masks.wrist", "observation.state"):
            np.testing.assert_array_equal(batch[key][row], every[key][rows, 0])
        np.testing.assert_array_equal(
            batch["action.history"][row], every["action"][index - frame + np.maximum(frame + np.arange(-4, 0), 0), 0]
        )
    for key in ("action", "action_is_pad", "episode_index", "frame_index"):
        np.testing.assert_array_equal(batch[key], newest[key])
    there = ForkingPickler.loads(ForkingPickler.dumps(seen))
    np.testing.assert_array_equal(there.batch([3])["observation.state"], seen.batch([3])["observation.state"])
    for bad in ({"history": 0}, {"stride": 0}):
        with pytest.raises(ConfigError, match="history"):
            Windows(folders, chunk=2, **bad)


def test_batches_do_not_alias_each_other_or_the_cache(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(2))], chunk=2)
    first = windows.batch([0, 0])
    first["observation.state"][:] = 7
    first["action"][:] = 7
    first["observation.images.front"][:] = 7
    again = windows.batch([0])
    assert not (again["observation.state"] == 7).any()
    assert not (again["action"] == 7).any()
    assert not (again["observation.images.front"] == 7).all()


def test_indices_out_of_range_are_refused(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(2))], chunk=2)
    for bad in ([len(windows)], [-1]):
        with pytest.raises(ConfigError, match="frame numbers must be in"):
            windows.batch(bad)


def test_the_cache_is_built_once_and_follows_the_content(tmp_path, maker, monkeypatch):
    maker.dataset(tmp_path, range(2))
    Windows([tmp_path], chunk=1)
    first = cache.cache_path(open_dataset(tmp_path))
    assert (first / "observation.images.front.npy").exists()
    with monkeypatch.context() as patch:
        patch.setattr(cache, "_build", lambda *a: pytest.fail("built twice"))
        assert isinstance(Windows([tmp_path], chunk=4).batch([0]), dict)
    maker.dataset(tmp_path, range(3))
    assert len(Windows([tmp_path], chunk=1)) == 4 + 5 + 6
    assert not first.exists()
    assert [
        p.name for p in (tmp_path / ".cache").iterdir() if p.is_dir()
    ] == [cache.cache_path(open_dataset(tmp_path)).name]


def test_a_killed_build_goes_on_where_it_was(tmp_path, maker, monkeypatch):
    maker.dataset(tmp_path, range(6))
    dataset = open_dataset(tmp_path)
    real, decoded = dataset.episode, []

    def die(i):
        if len(decoded) == 3:
            raise KeyboardInterrupt
        decoded.append(i)
        return real(i)

    monkeypatch.setattr(dataset, "episode", die)
    with pytest.raises(KeyboardInterrupt):
        cache.cached_arrays(dataset, threads=1)
    assert not cache.cache_path(dataset).exists()
    monkeypatch.setattr(dataset, "episode", lambda i: decoded.append(i) or real(i))
    arrays = cache.cached_arrays(dataset, threads=1)
    assert sorted(decoded) == list(range(6))
    np.testing.assert_array_equal(
        arrays["masks.wrist"], np.concatenate([real(i).frames["masks.wrist"] for i in range(6)])
    )


def test_a_truncated_cache_says_to_delete_it(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(2))], chunk=1)
    path = cache.cache_path(open_dataset(tmp_path)) / "masks.front.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FileError, match=r"masks\.front\.npy.*delete"):
        Windows([tmp_path], chunk=1)
    shutil.rmtree(path.parent)
    assert len(Windows([tmp_path], chunk=1)) == len(windows)


def test_a_dataset_that_cannot_be_written_is_cached_elsewhere(tmp_path, maker, monkeypatch):
    maker.dataset(tmp_path / "data", range(2))
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "user"))
    monkeypatch.setattr(cache.os, "access", lambda *a: False)
    assert len(Windows([tmp_path / "data"], chunk=1)) == 9
    assert not list((tmp_path / "data").rglob("*.npy"))
    assert list((tmp_path / "user").rglob("action.npy"))


def test_several_folders_are_numbered_through(tmp_path, maker):
    a, b = maker.dataset(tmp_path / "a", range(2)), maker.dataset(tmp_path / "b", range(3), seed=1)
    both, only_a, only_b = Windows([a, b], chunk=2), Windows([a], chunk=2), Windows([b], chunk=2)
    assert len(both) == len(only_a) + len(only_b)
    order = np.random.default_rng(0).permutation(len(both))
    batch = both.batch(order)
    for row, index in enumerate(order):
        single = only_a.batch([index]) if index < len(only_a) else only_b.batch([index - len(only_a)])
        for key, value in single.items():
            np.testing.assert_array_equal(np.asarray(batch[key])[row], np.asarray(value)[0], err_msg=key)
    assert set(batch["dataset_name"]) == {"a", "b"}


def test_folders_of_one_name_are_told_apart(tmp_path, maker):
    folders = [maker.dataset(tmp_path / parent / "demos", range(2), seed=i) for i, parent in enumerate("xy")]
    windows = Windows(folders, chunk=2)
    assert windows.batch([0, len(windows) - 1])["dataset_name"] == [str(f) for f in folders]


def test_folders_under_different_contracts_are_both_named(tmp_path, maker):
    a = maker.dataset(tmp_path / "a", range(2))
    b = maker.dataset(tmp_path / "b", range(2), actions=dataclasses.replace(maker.actions, low=(-2.0, 0.0)))
    with pytest.raises(ContractError, match=r"low.*/a.*/b"):
        Windows([a, b], chunk=2)


def test_bad_arguments_are_refused(tmp_path, maker):
    folder = maker.dataset(tmp_path, range(2))
    for options in (
        {"folders": []}, {"chunk": 0}, {"weights": [0.0]}, {"weights": [1.0, 1.0]}, {"weights": [float("nan")]}
    ):
        with pytest.raises(ConfigError):
            Windows(**({"folders": [folder], "chunk": 2} | options))


def test_statistics_are_of_the_frames_and_follow_the_weights(tmp_path, maker):
    a, b = maker.dataset(tmp_path / "a", range(2)), maker.dataset(tmp_path / "b", range(4), seed=1)
    rows = [np.concatenate([e.frames["action"] for e in open_dataset(f)]).astype(float) for f in (a, b)]
    stats = Windows([a, b], chunk=2).stats["action"]
    every = np.concatenate(rows)
    for name, value in {"mean": every.mean(0), "std": every.std(0), "min": every.min(0), "max": every.max(0)}.items():
        np.testing.assert_allclose(stats[name], value, rtol=1e-5)
    np.testing.assert_allclose(stats["q01"], np.quantile(every, 0.01, axis=0, method="inverted_cdf"), rtol=1e-6)
    np.testing.assert_allclose(stats["q99"], np.quantile(every, 0.99, axis=0, method="inverted_cdf"), rtol=1e-6)
    weighted = Windows([a, b], chunk=2, weights=[3, 1]).stats["action"]
    np.testing.assert_allclose(weighted["mean"], 0.75 * rows[0].mean(0) + 0.25 * rows[1].mean(0), rtol=1e-5)
    second = 0.75 * (rows[0] ** 2).mean(0) + 0.25 * (rows[1] ** 2).mean(0)
    np.testing.assert_allclose(weighted["std"], np.sqrt(second - weighted["mean"] ** 2), rtol=1e-4)
    assert stats["mean"].dtype == np.float32


def test_a_split_is_by_episode_whole_and_deterministic(tmp_path, maker):
    a, b = maker.dataset(tmp_path / "a", range(5)), maker.dataset(tmp_path / "b", range(3), seed=1)
    windows = Windows([a, b], chunk=2)
    train, held = windows.split(0.3, seed=4)
    assert len(train) + len(held) == len(windows)
    assert (train.num_episodes, held.num_episodes) == (3 + 2, 2 + 1)

    def episodes(view):
        batch = view.batch(np.arange(len(view)))
        return {(n, int(e)) for n, e in zip(batch["dataset_name"], batch["episode_index"], strict=True)}

    assert not episodes(train) & episodes(held)
    assert episodes(train) | episodes(held) == {("a", i) for i in range(5)} | {("b", i) for i in range(3)}
    again, _ = windows.split(0.3, seed=4)
    assert episodes(again) == episodes(train)
    assert any(episodes(windows.split(0.3, seed=s)[1]) != episodes(held) for s in range(5, 15))
    held_rows = held.batch(np.arange(len(held)))
    np.testing.assert_allclose(held.stats["action"]["max"], held_rows["action"][:, 0].max(0))
    for bad in (0.0, 1.0):
        with pytest.raises(ConfigError):
            windows.split(bad, seed=0)


@pytest.mark.parametrize("normalise", [None, "normal"])
def test_windows_travel_to_workers_without_their_pixels(tmp_path, maker, normalise):
    _, held = Windows([maker.dataset(tmp_path, range(4), length=40)], chunk=2, normalise=normalise).split(0.5, seed=0)
    sent = ForkingPickler.dumps(held)
    assert len(sent) < 5000
    there = ForkingPickler.loads(sent)
    a, b = held.batch([3, 50, 7]), there.batch([3, 50, 7])
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(b[key]))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 23), st.integers(0, 2**31))
def test_every_frame_once_per_epoch_in_any_order_of_asking(size, batch_size, seed):
    sampler = Sampler([size], batch_size, seed)
    steps = -(-3 * size // batch_size)
    stream = np.concatenate([sampler.batch_indices(s) for s in range(steps)])
    for epoch in range(3):
        assert sorted(stream[epoch * size : (epoch + 1) * size]) == list(range(size))
    resumed = Sampler([size], batch_size, seed)
    for step in reversed(range(steps)):
        np.testing.assert_array_equal(resumed.batch_indices(step), stream[step * batch_size : (step + 1) * batch_size])


def test_seeds_and_epochs_differ():
    a, b = Sampler([500], 500, 0), Sampler([500], 500, 1)
    assert (a.batch_indices(0) != b.batch_indices(0)).any()
    assert (a.batch_indices(0) != a.batch_indices(1)).any()


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(500, 3000), st.floats(0.05, 5)), min_size=2, max_size=4), st.integers(0, 1000))
def test_weights_give_exact_shares_per_block_and_epochs_within_a_dataset(parts, seed):
    sizes, weights = [n for n, _ in parts], [w for _, w in parts]
    sampler = Sampler(sizes, 1024, seed, weights)
    steps = 2 * BLOCK // 1024
    stream = np.concatenate([sampler.batch_indices(s) for s in range(steps)])
    dataset = np.searchsorted(np.cumsum(sizes), stream, side="right")
    for block in range(2):
        counts = np.bincount(dataset[block * BLOCK : (block + 1) * BLOCK], minlength=len(sizes))
        np.testing.assert_allclose(counts, np.asarray(weights) / sum(weights) * BLOCK, atol=1)
    starts = np.cumsum([0, *sizes])
    for d, size in enumerate(sizes):
        mine = stream[dataset == d] - starts[d]
        for epoch in range(len(mine) // size):
            assert len(np.unique(mine[epoch * size : (epoch + 1) * size])) == size
    middle = Sampler(sizes, 1024, seed, weights)
    np.testing.assert_array_equal(middle.batch_indices(65), stream[65 * 1024 : 66 * 1024])


def test_equal_weights_balance_unequal_folders(tmp_path, maker):
    a, b = maker.dataset(tmp_path / "a", range(2), length=3), maker.dataset(tmp_path / "b", range(4), length=20, seed=1)
    windows = Windows([a, b], chunk=2, weights=[1, 1])
    sampler = windows.sampler(256, seed=0)
    names = [n for s in range(16) for n in windows.batch(sampler.batch_indices(s))["dataset_name"]]
    assert abs(names.count("a") / len(names) - 0.5) < 0.05


def test_a_tiny_dataset_is_walked_many_times_within_a_batch():
    stream = Sampler([3, 1], 1024, 0, [1, 1]).batch_indices(0)
    assert set(stream) == {0, 1, 2, 3}
    mine = stream[stream < 3]
    for epoch in range(len(mine) // 3):
        assert sorted(mine[3 * epoch : 3 * epoch + 3]) == [0, 1, 2]


def test_bad_samplers_are_refused():
    for arguments in (([5], 0, 0), ([5], 4, -1), ([], 4, 0), ([0], 4, 0)):
        with pytest.raises(ConfigError):
            Sampler(*arguments)
    with pytest.raises(ConfigError, match="step"):
        Sampler([5], 2, 0).batch_indices(-1)


def test_the_loader_needs_neither_simulator_nor_torch():
    code = (
        "import sys, toyshift.data; a = set(sys.modules); import toyshift.data.loading.loader; b = set(sys.modules); "
        "print(*({'numpy', 'pyarrow', 'PIL'} & a), '|', *({'mujoco', 'torch', 'pandas', 'trimesh'} & b))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["|"]
    with pytest.raises(AttributeError, match="available"):
        toyshift.data.nothing  # noqa: B018
    assert toyshift.data.Windows is Windows


def test_failures_are_not_imitated(tmp_path, maker):
    for i in range(4):
        episode = maker.episode(i, 5)
        write_episode(tmp_path, dataclasses.replace(episode, meta=episode.meta | {"success": i != 2}))
    finalize(tmp_path, maker.actions, maker.observations, {"seed": 0})
    windows = Windows([tmp_path], chunk=2)
    assert len(windows) == 15
    assert set(windows.batch(np.arange(15))["episode_index"].tolist()) == {0, 1, 3}


def test_a_dataset_of_failures_is_refused(tmp_path, maker):
    episode = maker.episode(0, 5)
    write_episode(tmp_path, dataclasses.replace(episode, meta=episode.meta | {"success": False}))
    finalize(tmp_path, maker.actions, maker.observations, {"seed": 0})
    with pytest.raises(FileError, match="failures only"):
        Windows([tmp_path], chunk=2)


def test_windows_are_a_value_that_nobody_changes(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(3))], chunk=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        windows.chunk = 5
    longer = dataclasses.replace(windows, history=3)
    assert longer.batch([4])["observation.state"].shape[1] == 3
    assert windows.batch([4])["observation.state"].shape[1] == 1
    with pytest.raises(ConfigError, match="history=0"):
        dataclasses.replace(windows, history=0)
