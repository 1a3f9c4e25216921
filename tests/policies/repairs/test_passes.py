"""What the table says of passes is what a training does: comparisons at equal gradient samples rest on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from toyshift.core.contract import STATE
from toyshift.policies import Policy, TrainConfig, train
from toyshift.policies.repairs import repairs_of, row_of


@pytest.mark.parametrize("name", ["", "blind", "sam", "m3", "rm3", "winsor", "ivl", "prototype", "divdis", "dbat"])
def test_samples_that_pass_with_gradients_are_those_of_the_table(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Callable[..., Path],
    make_config: Callable[..., TrainConfig],
) -> None:
    data = [str(store(tmp_path / part, episodes=3, length=6)) for part in ("a", "b", "c")]
    spec = f"{name}?unlabelled={data[2]}" if name in ("divdis", "dbat") else name
    config = make_config(tmp_path / "run", data=tuple(data[:2]), repair=spec, steps=4)
    passed = 0
    judge = Policy.judge

    def counting(policy: Policy, batch: Any) -> Any:
        nonlocal passed
        if torch.is_grad_enabled():
            passed += len(batch[STATE])
        return judge(policy, batch)

    monkeypatch.setattr(Policy, "judge", counting)
    train(config)
    before = [first.steps for repair in repairs_of(spec) if (first := repair.first(config)) is not None]
    passes = row_of(name).passes if name else 1
    assert passed == (passes * config.steps + sum(before)) * config.batch_size
    assert bool(before) == (name == "dbat")
