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
from toyshift.policies.network.erasing import leace
from toyshift.policies.repairs.erase import encoded
from toyshift.policies.repairs.pairs import FeaturePairs, read_pairs, weights_of, write_pairs
from toyshift.policies.repairs.planted import linear_r2, place_and_factor
from toyshift.policies.training.training_run import Run

Make = Callable[..., Any]


def test_features_that_never_vary_are_left_as_they_are() -> None:
    x, _, z = place_and_factor(rho=0.0)
    x = np.column_stack([x, np.full(len(x), 3.0)])
    projection, mean = leace(x, z)
    left = x - (x - mean) @ projection.T
    assert np.allclose(left[:, -1], 3.0)
    assert linear_r2(left, z) < 1e-9
    assert not leace(x, np.ones((len(x), 1)))[0].any()  # a factor without two values erases nothing


def test_values_are_directions_or_a_number() -> None:
    assert encoded(["a", "b", "a"], "table").tolist() == [[1, 0], [0, 1], [1, 0]]
    assert encoded([float(i) for i in range(40)], "azimuth").shape == (40, 1)
    with pytest.raises(FileError, match=r"factor=table' needs several values of it, and the datasets show \[0\] only"):
        encoded([0, 0], "table")


@pytest.mark.usefixtures("one_table_of_operators")
def test_a_policy_is_blind_for_it_and_its_head_learns_on(demos: Path, make_config: Make, tmp_path: Path) -> None:
    common = {"data": (str(demos),), "validation": 0.0, "steps": 20, "precision": "f32", "threads": 1}
    train(make_config(tmp_path / "base", {"pooling": "mean"}, **common))
    config = make_config(
        tmp_path / "erased", {"pooling": "mean"}, **common, init_from=str(tmp_path / "base"), repair="erase"
    )
    train(config)
    run = Run(config, _source(config))
    views, tables = _views(run)
    assert linear_r2(views, tables, smallest=1e-6) < 1e-4  # below it is the rounding of float32, which differs by CPU
    plain = make_config(tmp_path / "plain", {"pooling": "mean"}, **common, init_from=config.init_from)
    assert linear_r2(_views(Run(plain, _source(plain)))[0], tables, smallest=1e-6) > 0.9
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
