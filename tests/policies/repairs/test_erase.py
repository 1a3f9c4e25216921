"""LEACE: afterwards no linear reader finds the factor; where it is tied to the place, the place goes as well."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError
from toyshift.policies import export, load_policy, train
from toyshift.policies.network.erasing import leace
from toyshift.policies.repairs.erase import encoded
from toyshift.policies.training.training_run import Run

Make = Callable[..., Any]


def planted(rho: float, count: int = 4000) -> tuple[Array, Array, Array]:
    """Features (N, 12) that hold a place and a factor, mixed; the place; the factor, one-hot of three values."""
    rng = np.random.default_rng(0)
    place = rng.uniform(-1, 1, count)
    told = np.digitize(place, [-1 / 3, 1 / 3])
    factor = np.where(rng.random(count) < rho, told, rng.integers(0, 3, count))
    z = np.eye(3)[factor]
    parts = np.column_stack([place, z @ rng.standard_normal((3, 2)), 0.3 * rng.standard_normal((count, 9))])
    return parts @ rng.standard_normal((12, 12)), place, z


def told(x: Array, y: Array, smallest: float | None = None) -> float:
    """R2 of a linear reader, of directions that are larger than `smallest` relative to the largest."""
    design = np.column_stack([x, np.ones(len(x))])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=smallest)[0]
    return float(1.0 - rest.var(axis=0).sum() / y.var(axis=0).sum())


def erased(x: Array, z: Array) -> Array:
    projection, mean = leace(x, z)
    return np.asarray(x - (x - mean) @ projection.T)


def test_nothing_is_left_of_the_factor_and_the_place_stays() -> None:
    x, place, z = planted(rho=0.0)
    left = erased(x, z)
    covariance = (left - left.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(x)
    assert np.abs(covariance).max() < 1e-12 < told(x, z)
    assert told(left, z) < 1e-9
    assert told(x, z) > 0.9
    assert told(left, place[:, None]) > 0.95
    assert ((left - x) ** 2).sum() < 0.5 * ((x - x.mean(axis=0)) ** 2).sum()


def test_where_factor_and_place_go_together_the_place_goes_too() -> None:
    x, place, z = planted(rho=1.0)
    assert told(x, place[:, None]) > 0.95
    assert told(erased(x, z), place[:, None]) < 0.25  # what is left: the place within a value of the factor


def test_features_that_never_vary_are_left_as_they_are() -> None:
    x, _, z = planted(rho=0.0)
    x = np.column_stack([x, np.full(len(x), 3.0)])
    left = erased(x, z)
    assert np.allclose(left[:, -1], 3.0)
    assert told(left, z) < 1e-9
    assert not leace(x, np.ones((len(x), 1)))[0].any()  # a factor without two values erases nothing


def test_values_are_directions_or_a_number() -> None:
    assert encoded(["a", "b", "a"], "table").tolist() == [[1, 0], [0, 1], [1, 0]]
    assert encoded([float(i) for i in range(40)], "azimuth").shape == (40, 1)
    with pytest.raises(FileError, match=r"factor=table' needs several values of it, and the datasets show \[0\] only"):
        encoded([0, 0], "table")


def test_a_policy_is_blind_for_it_and_its_head_learns_on(demos: Path, make_config: Make, tmp_path: Path) -> None:
    common = {"data": (str(demos),), "validation": 0.0, "steps": 20, "precision": "f32", "threads": 1}
    train(make_config(tmp_path / "base", {"pooling": "mean"}, **common))
    config = make_config(
        tmp_path / "erased", {"pooling": "mean"}, **common, init_from=str(tmp_path / "base"), repair="erase"
    )
    train(config)
    run = Run(config, _source(config))
    views, tables = _views(run)
    assert told(views, tables, smallest=1e-6) < 1e-4  # below it is the rounding of float32, which differs by CPU
    plain = make_config(tmp_path / "plain", {"pooling": "mean"}, **common, init_from=config.init_from)
    assert told(_views(Run(plain, _source(plain)))[0], tables, smallest=1e-6) > 0.9
    before, after = (load_file(str(tmp_path / name / "ema.safetensors")) for name in ("base", "erased"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)
    policy = load_policy(tmp_path / "erased").policy
    assert policy.config.erased == "table"
    assert policy.eraser.projection.abs().sum() > 0
    export(tmp_path / "erased", tmp_path / "bundle")
    with pytest.raises(ConfigError, match="finds another factor erased in"):
        train(make_config(tmp_path / "twice", {"pooling": "mean", "erased": "table"}, **common, repair="erase",
                          init_from=str(tmp_path / "erased")))  # fmt: skip
    with pytest.raises(ConfigError, match="erased is 'table', but `--repair erase` erases"):
        make_config(tmp_path / "x", {"erased": "table"})


def _source(config: Any) -> Any:
    from toyshift.policies.training.training_data import open_source

    return open_source(config)


def _views(run: Run) -> tuple[Array, Array]:
    """Pooled views of all frames, and the table of each."""
    frames = np.arange(len(run.source.windows))
    batch = {k: torch.from_numpy(v) for k, v in run.source.batch(frames).items()}
    with torch.no_grad():
        views = run.policy.judge(batch).features[:, :32].double().numpy()
    tables = [meta["factors"]["look"]["table"] for _, _, _, metas in run.source.windows.described() for meta in metas]
    return views, np.repeat(tables, 8)[:, None].astype(float)
