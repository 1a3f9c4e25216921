"""Diversity measures on sub-datasets whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toyshift.core.contract import ObservationContract
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.diversity import (
    Diversity,
    diversity_table,
    episode_frames,
    image_features,
    measure_diversity,
    measure_vectors,
    whiten,
)


def sphere(n, seed, dim=16, towards=None, pull=0.0):
    x = np.random.default_rng(seed).normal(size=(n, dim))
    if towards is not None:
        x[:, towards] += pull
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_alike_sub_datasets_are_mixed():
    result = measure_vectors({"a": sphere(150, 0), "b": sphere(150, 1)})
    assert result.fragmentation.low < 1.0 < result.fragmentation.high
    assert result.fragmentation.value == pytest.approx(1.0, abs=0.02)
    assert result.purity.value == pytest.approx(result.purity_mixed, abs=0.05)
    assert result.probe.value == pytest.approx(0.5, abs=0.1)


def test_disjoint_sub_datasets_are_fragmented():
    places = {"a": (0, 20), "b": (0, -20), "c": (1, 20)}
    result = measure_vectors({
        name: sphere(60, i, towards=axis, pull=pull) for i, (name, (axis, pull)) in enumerate(places.items())
    })
    assert result.purity.value == 1.0
    assert result.probe.value == 1.0
    assert result.fragmentation.low > 5.0
    assert result.disparity.value > result.diversity.value
    assert "fragmentation" in diversity_table(result)
    assert Diversity.from_json(json.loads(json.dumps(result.to_json(), allow_nan=False))) == result


def test_potentials_match_hand_calculation():
    e = np.eye(3)
    a, b = np.stack([e[0], e[0], e[1]]), np.stack([e[2], e[2], e[2]])
    result = measure_vectors({"a": a, "b": b})
    far = np.exp(-4.0)  # squared distance 2, t = 2
    assert result.within["a"] == pytest.approx(1 / ((1 + 2 * far) / 3))
    assert result.within["b"] == pytest.approx(1.0)
    assert result.diversity.value == pytest.approx(1 / (((1 + 2 * far) / 3 + 1.0) / 2))
    assert result.disparity.value == pytest.approx(1 / far)


def test_estimate_does_not_depend_on_the_number_of_episodes():
    # Keeping x = y pairs would bias small samples towards low diversity.
    small = np.mean([1 / measure_vectors({"a": sphere(8, s)}, resamples=10).diversity.value for s in range(200)])
    large = 1 / measure_vectors({"a": sphere(600, 0)}, resamples=10).diversity.value
    assert small == pytest.approx(large, rel=0.03)


def test_unequal_sizes_have_the_right_baseline():
    result = measure_vectors({"a": sphere(300, 0), "b": sphere(50, 1)})
    assert result.purity.value == pytest.approx(result.purity_mixed, abs=0.05)
    assert result.probe.value == pytest.approx(0.5, abs=0.13)  # balanced: naming the larger one always is chance


def pictures(n, seed, tint):
    rng = np.random.default_rng(seed)
    images = rng.uniform(0, 120, size=(n, 8, 8, 3)).repeat(3, axis=1).repeat(3, axis=2)
    return np.clip(images + np.array(tint), 0, 255).astype(np.uint8)


def test_images_of_one_look_mix_and_of_two_looks_do_not():
    same = measure_diversity({"a": pictures(80, 0, (0, 0, 0)), "b": pictures(80, 1, (0, 0, 0))})
    apart = measure_diversity({"a": pictures(80, 0, (0, 0, 0)), "b": pictures(80, 1, (100, 40, 0))})
    assert same.probe.value < 0.65
    assert apart.probe.value > 0.97
    assert apart.fragmentation.low > 1.0
    assert apart.purity.value > same.purity.value
    assert "image_features" in apart.features


def test_features_see_colour_and_edges():
    flat = np.full((1, 24, 24, 3), 100, np.uint8)
    striped = flat.copy()
    striped[:, :, ::4] = 160
    vectors = image_features(np.concatenate([flat, striped, striped.transpose(0, 2, 1, 3)]))
    assert vectors.shape == (3, 320)
    assert not np.allclose(vectors[1, 192:], vectors[2, 192:])  # direction of stripes
    white = whiten(np.random.default_rng(0).normal(size=(100, 40)))
    assert white.shape == (100, 24)
    assert np.allclose(np.linalg.norm(white, axis=1), 1.0)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="'b' has 2 episodes"):
        measure_vectors({"a": sphere(5, 0), "b": sphere(2, 0)})
    with pytest.raises(ConfigError, match="different shapes"):
        measure_diversity({"a": np.zeros((4, 8, 8, 3), np.uint8), "b": np.zeros((4, 9, 8, 3), np.uint8)})
    assert measure_vectors({"a": sphere(10, 0)}).fragmentation is None


def test_an_unknown_camera_is_refused_by_name(monkeypatch):
    class Empty:
        observation_contract = ObservationContract((("front", (8, 8)), ("wrist", (8, 8))), ())

        def require_episodes(self):
            """It has some."""

    monkeypatch.setattr("toyshift.data.open_dataset", lambda folder: Empty())
    with pytest.raises(UnknownNameError, match="Did you mean 'front'"):
        episode_frames("anywhere", "fornt")
