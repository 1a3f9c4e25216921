"""Statistics and the two normalisations are what they say, and each dataset is normalised by its own."""

import dataclasses
import json

import numpy as np
import pytest

from toyshift.core.errors import ContractError, UnknownNameError
from toyshift.data.loading.loader import Windows
from toyshift.data.loading.normalisation import Normalisation, action_mask, weighted_stats


def stats_of(rows):
    return weighted_stats([rows], [np.arange(len(rows))], [1.0])


def test_statistics_agree_with_numpy_in_blocks_too(monkeypatch):
    rows = np.random.default_rng(0).normal([1, -300, 0.01], [2, 0.1, 30], (5000, 3)).astype(np.float32)
    for block in (1 << 17, 701):
        monkeypatch.setattr("toyshift.data.loading.normalisation.BLOCK_ROWS", block)
        stats = stats_of(rows)
        exact = rows.astype(np.float64)
        for name, value in {
            "mean": exact.mean(0), "std": exact.std(0), "min": exact.min(0), "max": exact.max(0)
        }.items():
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
    np.testing.assert_allclose(
        bounds.apply(rows), np.clip(2 * (rows - low) / (high - low + 1e-8) - 1, -1, 1), atol=2e-5
    )
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
    for bad in (
        {}, {"kind": "normal", "centre": [0], "scale": [1, 2], "mask": [True]},
        {"kind": "x", "centre": [], "scale": [], "mask": []},
    ):
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
    np.testing.assert_allclose(
        windows.stats["observation.state"]["mean"], batch["observation.state"][:, -1].mean(0), atol=1e-6
    )
    twice = Windows([folders[0], folders[0]], chunk=2, normalise=kind)
    np.testing.assert_allclose(
        twice.stats["action"]["mean"], Windows(folders[:1], chunk=2, normalise=kind).stats["action"]["mean"], atol=1e-6
    )
    with pytest.raises(UnknownNameError, match="normal"):
        Windows(folders, chunk=2, normalise="minmax")


def test_both_parts_of_a_split_have_the_training_parts_normalisation(tmp_path, maker):
    train, held = Windows(
        [maker.dataset(tmp_path, range(6), length=20)], chunk=1, normalise="normal"
    ).split(0.3, seed=0)
    assert held.normalisations is train.normalisations
    rows = train.batch(np.arange(len(train)))["observation.state"][:, 0]
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    held_rows = held.batch(np.arange(len(held)))["observation.state"][:, 0]
    assert (abs(held_rows.mean(0)) > 1e-3).any()


def test_contracts_must_agree_under_normalisation_too(tmp_path, maker):
    a = maker.dataset(tmp_path / "a", range(2))
    b = maker.dataset(tmp_path / "b", range(2), actions=dataclasses.replace(maker.actions, control_hz=10.0))
    with pytest.raises(ContractError, match="control_hz"):
        Windows([a, b], chunk=2, normalise="bounds_q99")


def test_windows_give_the_units_of_one_dataset_and_what_a_policy_normalises_by(tmp_path, maker):
    folders = [maker.dataset(tmp_path / name, range(4), length=30, seed=i) for i, name in enumerate("ab")]
    normalised = Windows(folders, chunk=2, history=2, normalise="normal")
    for act_as, name in (("", "a"), ("b", "b")):
        windows = Windows(folders, chunk=2, history=2, normalise="normal", act_as=act_as)
        order = np.random.default_rng(0).permutation(len(windows))
        batch, unit = normalised.batch(order), windows.normalisations[name]
        for key, kind in (("observation.state",) * 2, ("action",) * 2, ("action.history", "action")):
            np.testing.assert_array_equal(windows.batch(order)[key], unit[kind].restore(batch[key]))
        np.testing.assert_array_equal(windows.scaling["observation.state"]["mean"], unit["observation.state"].centre)
        assert (windows.scaling["action"]["mean"][1], windows.scaling["action"]["std"][1]) == (0, 1)  # the gripper's
        states = windows.batch(order)["observation.state"][:, -1]
        np.testing.assert_allclose(windows.stats["observation.state"]["mean"], states.mean(0), atol=1e-6)
    physical = Windows(folders, chunk=2)
    assert physical.scaling is physical.stats
    with pytest.raises(UnknownNameError, match=r"'c'.*a, b"):
        Windows(folders, chunk=2, normalise="normal", act_as="c")
