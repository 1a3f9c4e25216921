"""The cache of decoded frames: whole or not at all, never one of another version, and not held in memory."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import FileError
from toyshift.data.loading import cache
from toyshift.data.loading.loader import Windows
from toyshift.data.store.dataset import open_dataset

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "loader.py"


def same(a, b):
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(b[key]), err_msg=key)


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


@pytest.mark.skipif(not BENCHMARK.is_file(), reason="the tests run against an installed wheel")
def test_private_memory_does_not_grow_with_20_gb():
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--only", "memory", "--json"], capture_output=True, text=True, check=True
    )
    memory = json.loads(done.stdout.splitlines()[-1])["memory"]
    assert memory["cache_gb"] >= 20
    assert memory["disk_mb"] < 100
    assert memory["windows"] >= 1000
    assert memory["anonymous_growth_mb"] < 500
