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
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.policies import export, load_policy, train
from toyshift.policies.network.erasing import leace, paired_leace
from toyshift.policies.repairs.erase import encoded
from toyshift.policies.repairs.pairs import FeaturePairs, read_pairs, weights_of, write_pairs
from toyshift.policies.training.training_run import Run

Make = Callable[..., Any]


def mixed(place: Array, factor: Array, seed: int) -> Array:
    """Features (N, 12) that hold a place and a factor (N,), mixed; `seed` is of the noise."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    ways, mix = fixed.standard_normal((3, 2)), fixed.standard_normal((12, 12))
    parts = np.column_stack([place, np.eye(3)[factor] @ ways, 0.3 * rng.standard_normal((len(place), 9))])
    return np.asarray(parts @ mix)


def planted(rho: float, count: int = 4000) -> tuple[Array, Array, Array]:
    """Features (N, 12) that hold a place and a factor, mixed; the place; the factor, one-hot of three values."""
    rng = np.random.default_rng(1)
    place = rng.uniform(-1, 1, count)
    told = np.digitize(place, [-1 / 3, 1 / 3])
    factor = np.where(rng.random(count) < rho, told, rng.integers(0, 3, count))
    return mixed(place, factor, 2), place, np.eye(3)[factor]


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


def test_fitted_on_pairs_the_place_stays_though_factor_and_place_go_together() -> None:
    rng = np.random.default_rng(3)
    place, levels = rng.uniform(-1, 1, 300), np.arange(300) % 2 + 1  # few, and each level at places of its own
    place += 0.5 * levels
    base, changed = mixed(place, np.zeros(300, np.int64), 4), mixed(place, levels, 4)
    projection, mean = paired_leace(base, changed, levels)
    x, here, z = planted(rho=1.0)
    alone, free, _ = planted(rho=0.0)
    for one, truth in ((x, here), (alone, free)):
        assert told(one - (one - mean) @ projection.T, truth[:, None]) > 0.95
    assert told(erased(x, z), here[:, None]) < 0.3  # fitted on the data themselves
    _, _, values = planted(rho=0.0)
    assert told(alone - (alone - mean) @ projection.T, values) < 0.01 < 0.9 < told(alone, values)


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
    _by_pairs(demos, make_config, tmp_path, common)
    with pytest.raises(ConfigError, match="finds another factor erased in"):
        train(make_config(tmp_path / "twice", {"pooling": "mean", "erased": "table"}, **common, repair="erase",
                          init_from=str(tmp_path / "erased")))  # fmt: skip
    with pytest.raises(ConfigError, match="erased is 'table', but `--repair erase` erases"):
        make_config(tmp_path / "x", {"erased": "table"})


def _by_pairs(demos: Path, make_config: Make, tmp_path: Path, common: dict[str, Any]) -> None:
    """Erases what changes in pairs, of which the file says whose they are."""
    rng, file = np.random.default_rng(0), tmp_path / "a b+c.npz"
    base = rng.standard_normal((20, 32)).astype(np.float32)
    changed = base.copy()
    changed[:, 7] += 2.0
    level = np.ones(20, np.int64)
    both = {"table": changed, "background": base}, {"table": level, "background": level}
    write_pairs(file, FeaturePairs(weights_of(tmp_path / "base"), base, *both))
    assert np.array_equal(read_pairs(file).of("table")[1], changed)

    def config(spec: str, start: str = "base") -> Any:
        more = common | {"steps": 1, "init_from": str(tmp_path / start), "repair": spec}
        return make_config(tmp_path / "pairs", {"pooling": "mean"}, **more)

    spec = f"erase?pairs={str(file).replace('+', '%2B')}"
    train(config(spec))
    eraser = load_policy(tmp_path / "pairs").policy.eraser
    pooled = torch.from_numpy(changed)
    assert torch.allclose(eraser(pooled), eraser(torch.from_numpy(base)), atol=1e-4)
    assert torch.allclose(eraser(pooled)[:, :7], pooled[:, :7], atol=1.0)
    for other, error, why in (
        (spec + "&factor=light", UnknownNameError, r"unknown factor of pairs 'light'.* Available: background, table"),
        (spec + "&factor=background", ConfigError, "finds nothing to erase: no view of .* changes with background"),
        ("erase?pairs=nowhere.npz", FileError, "cannot read pairs from nowhere.npz .*toyshift diagnose"),
    ):
        with pytest.raises(error, match=why):
            Run(config(other), _source(config(other)))
    train(make_config(tmp_path / "more", {"pooling": "mean"}, **common | {"steps": 1}))
    wrong = config(spec, "more")
    with pytest.raises(ConfigError, match="is of another policy"):
        Run(wrong, _source(wrong))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(FileError, match="cannot read pairs from"):
        read_pairs(file)


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
