"""Ranks and workers share the stream without overlap, a run goes on in the middle, and each dataset is normalised by its own statistics."""

import dataclasses
import errno
import json
import os
import signal
import subprocess
import sys
import time
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toyshift.data
from toyshift.core.errors import ConfigError, ContractError, FileError, UnknownNameError
from toyshift.data.loading import cache
from toyshift.data.loading.batching import batches, shard, worker_steps
from toyshift.data.loading.loader import Windows
from toyshift.data.loading.normalisation import Normalisation, action_mask, weighted_stats
from toyshift.data.loading.sampler import Sampler
from toyshift.data.store.dataset import open_dataset

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "loader.py"


def seen(batch):
    return list(zip(batch["dataset_name"], batch["episode_index"].tolist(), batch["frame_index"].tolist(), strict=True))


def same(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(b[key]), err_msg=key)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**31))
def test_an_epoch_over_workers_and_ranks_is_a_permutation(size, per_rank, world, workers, seed):
    sampler = Sampler([size], per_rank * world, seed)
    steps = -(-2 * size // sampler.batch_size)
    parts = {}
    for worker in range(workers):
        for step in worker_steps(0, steps, worker, workers):
            for rank in range(world):
                assert (step, rank) not in parts
                parts[step, rank] = shard(sampler.batch_indices(step), rank, world)
    assert len(parts) == steps * world
    assert {len(p) for p in parts.values()} == {per_rank}
    stream = np.stack([np.stack([parts[s, r] for r in range(world)], axis=1) for s in range(steps)]).reshape(-1)
    for epoch in range(2):
        assert sorted(stream[epoch * size : (epoch + 1) * size]) == list(range(size))


def test_batches_are_the_same_with_any_number_of_workers_and_go_on_in_the_middle(tmp_path, maker):
    folders = [maker.dataset(tmp_path / name, range(4), seed=i) for i, name in enumerate("ab")]
    windows = Windows(folders, chunk=3, weights=[2, 1], history=2)
    whole = list(batches(windows, windows.sampler(8, seed=3), 0, 9))
    assert len(whole) == 9
    for step, batch in enumerate(whole):
        same(batch, windows.batch(windows.sampler(8, seed=3).batch_indices(step)))
    rest = list(batches(windows, windows.sampler(8, seed=3), 4, 9, workers=3))  # step 4 lies in the middle of an epoch
    assert len(rest) == 5
    for one, other in zip(rest, whole[4:], strict=True):
        same(one, other)


def test_ranks_see_every_frame_once_and_another_number_of_ranks_goes_on(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(8), length=6)], chunk=2)  # 48 frames: an epoch is six steps of 8

    def epoch(split):
        return [key for start, stop, world in split for rank in range(world) for b in batches(windows, windows.sampler(8, seed=0), start, stop, rank=rank, world=world, workers=2) for key in seen(b)]

    one = epoch([(0, 6, 1)])
    assert len(set(one)) == len(one) == 48
    assert sorted(epoch([(0, 6, 4)])) == sorted(one)
    assert sorted(epoch([(0, 2, 4), (2, 6, 2)])) == sorted(one)


def test_a_loader_process_gathers_what_this_one_would(tmp_path, maker):
    _, held = Windows([maker.dataset(tmp_path, range(6))], chunk=2, normalise="normal").split(0.5, seed=0)
    there = ForkingPickler.loads(ForkingPickler.dumps(held))
    batch = held.batch([1, 0, 5])
    same(batch, there.batch([1, 0, 5]))
    assert len(seen(batch)) == 3


def test_an_error_while_gathering_reaches_the_reader(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(2))], chunk=2)
    with pytest.raises(ConfigError, match="frame numbers"):
        list(batches(windows, Sampler([len(windows) + 50], 64, 0), 0, 3, workers=2))


def test_ranks_workers_and_steps_that_do_not_fit_are_refused(tmp_path, maker):
    windows = Windows([maker.dataset(tmp_path, range(2))], chunk=2)
    sampler = windows.sampler(6, seed=0)
    with pytest.raises(ConfigError, match=r"batch of 6.*4 ranks.*such as 8"):
        list(batches(windows, sampler, 0, 1, world=4))
    for bad in ({"rank": 2, "world": 2}, {"rank": -1}, {"workers": 0}):
        with pytest.raises(ConfigError):
            list(batches(windows, sampler, 0, 1, **bad))
    with pytest.raises(ConfigError, match="start"):
        list(batches(windows, sampler, 3, 1))
    with pytest.raises(ConfigError, match="worker"):
        worker_steps(0, 5, 2, 2)
    assert toyshift.data.batches is batches


def stats_of(rows):
    return weighted_stats([rows], [np.arange(len(rows))], [1.0])


def test_statistics_agree_with_numpy_in_blocks_too(monkeypatch):
    rows = np.random.default_rng(0).normal([1, -300, 0.01], [2, 0.1, 30], (5000, 3)).astype(np.float32)
    for block in (1 << 17, 701):
        monkeypatch.setattr("toyshift.data.loading.normalisation.BLOCK_ROWS", block)
        stats = stats_of(rows)
        exact = rows.astype(np.float64)
        for name, value in {"mean": exact.mean(0), "std": exact.std(0), "min": exact.min(0), "max": exact.max(0)}.items():
            np.testing.assert_allclose(stats[name], value, rtol=2e-6, err_msg=name)
        for name, q in (("q01", 0.01), ("q99", 0.99)):
            np.testing.assert_array_equal(stats[name], np.quantile(rows, q, axis=0, method="inverted_cdf"))
    monkeypatch.setattr("toyshift.data.loading.normalisation.QUANTILE_ROWS", 1000)  # of every fifth row
    np.testing.assert_array_equal(stats_of(rows)["q99"], np.quantile(rows[::5], 0.99, axis=0, method="inverted_cdf"))


def test_normal_is_zero_mean_and_unit_variance_and_comes_back():
    rows = np.random.default_rng(1).normal([5, -2], [0.3, 4], (2000, 2)).astype(np.float32)
    normal = Normalisation.of("normal", stats_of(rows))
    np.testing.assert_allclose(normal.apply(rows).mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normal.apply(rows).std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(normal.restore(normal.apply(rows)), rows, atol=1e-5)
    assert normal.apply(rows).dtype == normal.restore(rows).dtype == np.float32


def test_bounds_q99_is_the_published_formula_and_comes_back_inside_the_bounds():
    rows = np.random.default_rng(2).normal([5, -2], [0.3, 4], (2000, 2)).astype(np.float32)
    bounds = Normalisation.of("bounds_q99", stats_of(rows))
    low, high = (np.quantile(rows.astype(float), q, axis=0, method="inverted_cdf") for q in (0.01, 0.99))
    np.testing.assert_allclose(bounds.apply(rows), np.clip(2 * (rows - low) / (high - low + 1e-8) - 1, -1, 1), atol=2e-5)
    np.testing.assert_allclose(bounds.restore(bounds.apply(rows)), np.clip(rows, low, high), atol=1e-5)
    assert ((rows >= low) & (rows <= high)).mean() >= 0.975


def test_constant_entries_and_entries_outside_the_mask():
    rows = np.stack([np.full(100, 0.3), np.linspace(-1, 3, 100), np.arange(100) % 2], axis=1).astype(np.float32)
    for kind in ("normal", "bounds_q99"):
        made = Normalisation.of(kind, stats_of(rows), np.array([True, True, False]))
        out = made.apply(rows)
        assert (out[:, 0] == 0).all()
        np.testing.assert_array_equal(out[:, 2], rows[:, 2])
        np.testing.assert_allclose(made.restore(np.full((1, 3), 7.0))[0, 0], 0.3, rtol=1e-6)
        again = Normalisation.from_json(json.loads(json.dumps(made.to_json())))
        np.testing.assert_array_equal(again.apply(rows), out)
    with pytest.raises(UnknownNameError, match="bounds_q99"):
        Normalisation.of("minmax", stats_of(rows))
    with pytest.raises(ContractError):
        Normalisation.of("normal", stats_of(rows), np.array([True]))
    for bad in ({}, {"kind": "normal", "centre": [0], "scale": [1, 2], "mask": [True]}, {"kind": "x", "centre": [], "scale": [], "mask": []}):
        with pytest.raises((ContractError, UnknownNameError)):
            Normalisation.from_json(bad)


@pytest.mark.parametrize("kind", ["normal", "bounds_q99"])
def test_each_dataset_is_normalised_by_its_own_statistics(tmp_path, maker, kind):
    folders = [maker.dataset(tmp_path / name, range(4), length=30, seed=i) for i, name in enumerate("ab")]
    physical, windows = Windows(folders, chunk=2, history=2), Windows(folders, chunk=2, history=2, normalise=kind)
    order = np.random.default_rng(0).permutation(len(windows))
    raw, batch = physical.batch(order), windows.batch(order)
    names = np.array(batch["dataset_name"])
    for name in "ab":
        mine, own = names == name, windows.normalisations[name]
        stats = Windows([tmp_path / name], chunk=1).stats
        for key in ("observation.state", "action"):
            alone = Normalisation.of(kind, stats[key], action_mask(maker.actions) if key == "action" else None)
            np.testing.assert_array_equal(batch[key][mine], alone.apply(raw[key][mine]))
            np.testing.assert_array_equal(own[key].restore(batch[key][mine]), alone.restore(batch[key][mine]))
        np.testing.assert_array_equal(batch["action.history"][mine], own["action"].apply(raw["action.history"][mine]))
    np.testing.assert_array_equal(batch["action"][..., 1], raw["action"][..., 1])  # the gripper's entry stays physical
    np.testing.assert_array_equal(batch["observation.images.front"], raw["observation.images.front"])
    np.testing.assert_allclose(windows.stats["observation.state"]["mean"], batch["observation.state"][:, -1].mean(0), atol=1e-6)
    twice = Windows([folders[0], folders[0]], chunk=2, normalise=kind)
    np.testing.assert_allclose(twice.stats["action"]["mean"], Windows(folders[:1], chunk=2, normalise=kind).stats["action"]["mean"], atol=1e-6)
    with pytest.raises(UnknownNameError, match="normal"):
        Windows(folders, chunk=2, normalise="minmax")


def test_both_parts_of_a_split_have_the_training_parts_normalisation(tmp_path, maker):
    train, held = Windows([maker.dataset(tmp_path, range(6), length=20)], chunk=1, normalise="normal").split(0.3, seed=0)
    assert held.normalisations is train.normalisations
    rows = train.batch(np.arange(len(train)))["observation.state"][:, 0]
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    held_rows = held.batch(np.arange(len(held)))["observation.state"][:, 0]
    assert (abs(held_rows.mean(0)) > 1e-3).any()


def test_a_cache_of_another_version_is_made_again_and_never_read(tmp_path, maker, monkeypatch):
    folder = maker.dataset(tmp_path, range(3))
    before = Windows([folder], chunk=1).batch([0, 5])
    old = cache.cache_path(open_dataset(folder))
    with monkeypatch.context() as patch:
        patch.setattr(cache, "CACHE_VERSION", cache.CACHE_VERSION + 1)
        same(Windows([folder], chunk=1).batch([0, 5]), before)
        assert not old.exists()
    # One whose name says this version, but whose contents say another: named, not read.
    Windows([folder], chunk=1)
    facts = json.loads((old / "cache.json").read_text())
    (old / "cache.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(FileError, match=r"version 99.*delete"):
        Windows([folder], chunk=1)


def test_a_disk_without_room_is_named_before_anything_is_decoded(tmp_path, maker, monkeypatch):
    folder = maker.dataset(tmp_path, range(3))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "posix_fallocate", full)
        with pytest.raises(FileError, match=r"No space left.*MB.*make room"):
            Windows([folder], chunk=1)
    assert len(Windows([folder], chunk=1)) == len(Windows([folder], chunk=2))


SLOW_BUILD = """
import sys, time
from pathlib import Path
from toyshift.data.store.dataset import Dataset
from toyshift.data.loading.loader import Windows
real = Dataset.episode
def slow(self, i, keys=None):
    time.sleep(0.1)
    return real(self, i, keys)
Dataset.episode = slow
Windows([Path(sys.argv[1])], chunk=1)
"""


def test_kill_9_during_the_build_loses_the_episodes_in_flight_only(tmp_path, maker, monkeypatch):
    folder = maker.dataset(tmp_path, range(40))
    dataset = open_dataset(folder)
    place = cache.cache_path(dataset)
    done = place.with_name(place.name + ".partial") / "done.npy"
    with subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(folder)], stderr=subprocess.DEVNULL) as build:
        try:
            deadline = time.monotonic() + 60
            while not (done.exists() and done.stat().st_size > 128 and np.load(done).sum() >= 5):
                assert build.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            build.send_signal(signal.SIGKILL)
    finished = np.flatnonzero(np.load(done))
    assert 5 <= len(finished) < 40
    assert not place.exists()
    decoded, real = [], dataset.episode
    monkeypatch.setattr(dataset, "episode", lambda i: decoded.append(i) or real(i))
    arrays = cache.cached_arrays(dataset, threads=3)
    assert sorted([*decoded, *finished]) == list(range(40))
    for key, array in arrays.items():
        np.testing.assert_array_equal(array, np.concatenate([real(i).frames[key] for i in range(40)]), err_msg=key)


def test_contracts_must_agree_under_normalisation_too(tmp_path, maker):
    a = maker.dataset(tmp_path / "a", range(2))
    b = maker.dataset(tmp_path / "b", range(2), actions=dataclasses.replace(maker.actions, control_hz=10.0))
    with pytest.raises(ContractError, match="control_hz"):
        Windows([a, b], chunk=2, normalise="bounds_q99")


@pytest.mark.skipif(not BENCHMARK.is_file(), reason="the tests run against an installed wheel")
def test_private_memory_does_not_grow_with_20_gb():
    done = subprocess.run([sys.executable, str(BENCHMARK), "--only", "memory", "--json"], capture_output=True, text=True, check=True)
    memory = json.loads(done.stdout.splitlines()[-1])["memory"]
    assert memory["cache_gb"] >= 20
    assert memory["disk_mb"] < 100
    assert memory["windows"] >= 1000
    assert memory["anonymous_growth_mb"] < 500
