"""Datasets as they are opened for a diagnosis, and vectors of their images, which are computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import cache_dir
from toyshift.data.collecting.dials import fragment
from toyshift.data.collecting.fragment_folder import claim_plan, plan_of
from toyshift.diagnostics.datasets import first_vectors, opened
from toyshift.diagnostics.features import Features

pytestmark = pytest.mark.usefixtures("own_cache")


def counting(name: str = "mean") -> tuple[Features, list[int]]:
    calls: list[int] = []

    def vectors(images):  # type: ignore[no-untyped-def]
        calls.append(len(images))
        return images.mean(axis=(1, 2))

    return Features(name, vectors), calls


def test_vectors_are_computed_once_for_a_content_a_camera_and_an_encoder(
    demos: Callable[..., Path], tmp_path: Path
) -> None:
    (one,) = opened([demos(tmp_path / "d", 6, 40)]).values()
    features, calls = counting()
    first = first_vectors(one, features, "", 4)
    assert first.shape == (4, 3)
    np.testing.assert_array_equal(first_vectors(one, features, "front", 4), first)
    assert calls == [4]
    first_vectors(one, features, "front", 6)
    first_vectors(one, Features("mean", features.vectors, "other weights"), "front", 6)
    (moved,) = opened([demos(tmp_path / "copy", 6, 40)]).values()  # elsewhere, and the same
    first_vectors(moved, features, "front", 6)
    (other,) = opened([demos(tmp_path / "other", 6, 90)]).values()
    assert first_vectors(other, features, "front", 6).mean() > first.mean()
    assert calls == [4, 6, 6, 6]


def test_functions_of_ones_own_are_asked_every_time(demos: Callable[..., Path], tmp_path: Path) -> None:
    (one,) = opened([demos(tmp_path / "d", 3, 40)]).values()
    features, calls = counting("module:function")
    first_vectors(one, features, "", 3)
    first_vectors(one, features, "", 3)
    assert calls == [3, 3]


def test_a_damaged_cache_is_named(demos: Callable[..., Path], tmp_path: Path) -> None:
    (one,) = opened([demos(tmp_path / "d", 3, 40)]).values()
    features, _ = counting()
    first_vectors(one, features, "", 3)
    (kept,) = cache_dir("features").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:40])
    with pytest.raises(FileError, match=r"is damaged .*; delete it"):
        first_vectors(one, features, "", 3)


def test_a_folder_of_fragments_is_its_parts_and_none_counts_twice(demos: Callable[..., Path], tmp_path: Path) -> None:
    design = fragment(2, diversity=0.5, disparity=1.0, correlation=1.0)
    claim_plan(tmp_path / "f", plan_of(design, "toys:train?n=4", 4, 0), "toyshift data fragment")
    for i in range(2):
        demos(tmp_path / "f" / f"part-{i}", 3, 40 + i)
    assert list(opened([tmp_path / "f"])) == [str(tmp_path / "f" / f"part-{i}") for i in range(2)]
    with pytest.raises(ConfigError, match="part-1 is named twice"):
        opened([tmp_path / "f", tmp_path / "f" / "part-1"])
