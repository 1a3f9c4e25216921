"""The fixed scale of diversity: what it is on its own reference, the shipped files, and files that are damaged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.features import Features, features_of, image_features, vectors_of
from toyshift.diagnostics.reference_scale import (
    SHIPPED,
    ReferenceScale,
    make_scale,
    read_scale,
    shipped_scale,
    write_scale,
)

OWN = Features("own", image_features, blocks=(30, 10))
VECTORS = np.random.default_rng(0).normal(size=(200, 40)) * np.repeat([1.0, 100.0], [30, 10])


def made() -> ReferenceScale:
    return make_scale(VECTORS, OWN, "noise")


def test_reference_pictures_are_two_apart_on_average() -> None:
    assert made().squared(VECTORS).mean() == pytest.approx(2.0, rel=1e-5)


def test_so_they_are_where_the_reference_has_few_components() -> None:
    few = VECTORS[:, :3]
    scale = make_scale(few, Features("own", image_features), "noise")
    assert scale.squared(few).mean() == pytest.approx(2.0, rel=1e-5)


def test_every_component_and_what_lies_outside_weigh_the_same() -> None:
    scale = made()
    placed = scale.placed(VECTORS)
    assert len(scale.units) == 24
    inside = placed[:, :24].var(axis=0)
    assert np.allclose([*inside, placed[:, 24:].var(axis=0).sum()], 1 / 25, rtol=1e-4)


def test_parts_weigh_the_same() -> None:
    weighted = VECTORS * made().weights
    assert weighted[:, :30].var(axis=0).sum() == pytest.approx(1.0, rel=1e-5)
    assert weighted[:, 30:].var(axis=0).sum() == pytest.approx(1.0, rel=1e-5)


def test_nothing_that_varies_is_unseen() -> None:
    # A reference that varies in one direction only, and data that vary in every other.
    flat = np.outer(np.arange(40.0), np.eye(6)[0])
    scale = make_scale(flat, Features("own", image_features), "a line")
    off = np.random.default_rng(1).normal(size=(10, 6)) * [0, 1, 1, 1, 1, 1]
    near, far = (scale.squared(a * off).mean() for a in (1.0, 3.0))
    assert near > 0.0
    assert far == pytest.approx(9 * near)


def test_small_differences_far_away_keep_their_digits() -> None:
    scale, rng = made(), np.random.default_rng(2)
    drawn = rng.normal(size=(10, 40))
    there, here = scale.squared(1e6 + drawn), scale.squared(drawn)
    assert np.allclose(there, here, rtol=1e-4)
    assert np.all(np.diag(there) == 0.0)


def test_a_reference_must_be_one() -> None:
    with pytest.raises(ConfigError, match="at least 20 reference pictures, got 5"):
        make_scale(VECTORS[:5], OWN, "few")
    with pytest.raises(ConfigError, match="all the same to own"):
        make_scale(np.ones((30, 40)), OWN, "one")


@pytest.mark.parametrize("name", ["thumbnail", "efficientnet-lite0"])
def test_shipped_files_are_whole(name: str) -> None:
    from toyshift.policies.network.pretrained import LITE0_SHA256_START

    weights, size = {"thumbnail": ("", 320), "efficientnet-lite0": (LITE0_SHA256_START, 1280)}[name]
    scale = shipped_scale(Features(name, image_features, weights))
    assert scale.directions.shape == (24, size)
    assert np.allclose(scale.directions @ scale.directions.T, np.eye(24), atol=1e-5)
    assert np.all(np.diff(scale.units) <= 0)
    assert scale.units[-1] > 0
    assert scale.outside > 0
    assert scale.about["pictures"] == 1000
    assert (SHIPPED / f"{name}.npz").stat().st_size < 150_000


def test_the_shipped_scale_is_that_of_its_script(benchmark_file: Callable[[str], ModuleType]) -> None:
    script = benchmark_file("reference_scale")
    features = features_of("thumbnail")
    pictures = np.stack(list(script.reference_pictures(len(script.SEEN))))  # one of every shift
    assert pictures.shape[1:] == (96, 96, 3)
    assert shipped_scale(features).squared(vectors_of(features, pictures)).mean() == pytest.approx(2.0, rel=0.25)


def test_files_come_back_and_damage_is_named(tmp_path: Path) -> None:
    path, scale = tmp_path / "own.npz", made()
    write_scale(path, scale)
    read = read_scale(path, OWN)
    assert np.array_equal(read.squared(VECTORS), scale.squared(VECTORS))
    assert read.about == scale.about
    with pytest.raises(ConfigError, match=r"is a scale of own .*, not of other"):
        read_scale(path, Features("other", image_features))
    with pytest.raises(ConfigError, match="not of own new"):
        read_scale(path, dataclasses.replace(OWN, weights="new"))
    with pytest.raises(ConfigError, match="for vectors of 40 of own, these have 7"):
        read.squared(np.zeros((3, 7)))
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **{**arrays, "outside": arrays["outside"] * 1.01})
    with pytest.raises(FileError, match="damaged: its hash is another"):
        read_scale(path, OWN)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileError, match=r"is no scale \("):
        read_scale(path, OWN)
    with pytest.raises(FileError, match="there is no"):
        read_scale(tmp_path / "missing.npz", OWN)
