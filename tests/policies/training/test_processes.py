"""Several processes and passes: the same loss curve and weights as one process with the whole batch, written once."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toyshift.core.contract import ACTION_IS_PAD
from toyshift.core.errors import ConfigError
from toyshift.policies import train
from toyshift.policies.training.processes import Processes

Make = Callable[..., Any]
# Sums in another order: float32 rounding, which AdamW's division by the root of tiny second moments makes larger.
LOSSES, WEIGHTS = 1e-5, 1e-3
CHANGES: dict[str, Any] = {
    "steps": 5, "batch_size": 8, "precision": "f32", "shift": 2, "state_noise": 0.1, "view_dropout": 0.3, "lr": 1e-3
}


REPAIR = "hint?of=pixel+rm3+prototype?share=0.5"  # trains a layer beside the policy, keeps gradients, changes images


def padded(source: Any) -> Any:
    """Makes the last actions of some frames padding: parts of a batch then hold different numbers of actions."""
    source.windows.data[ACTION_IS_PAD][::3, 1:] = True
    return source


def curve(folder: Path) -> tuple[list[float], list[float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows], [row["validation_loss"] for row in rows if "validation_loss" in row]


def assert_same_training(one: Path, other: Path) -> None:
    for a, b in zip(curve(one), curve(other), strict=True):
        assert len(a) == len(b) > 0
        assert np.allclose(a, b, rtol=LOSSES, atol=0)
    ours, theirs = load_file(str(one / "model.safetensors")), load_file(str(other / "model.safetensors"))
    assert all(torch.allclose(ours[k], theirs[k], atol=WEIGHTS) for k in ours)


@pytest.mark.parametrize("head", ["l1", "flow"])
def test_passes_add_up_to_the_batch(head: str, make_config: Make, make_source: Make, tmp_path: Path) -> None:
    whole = make_config(tmp_path / "whole", {"head": head}, **CHANGES)
    cut = dataclasses.replace(whole, out=str(tmp_path / "cut"), accumulate=4)
    for config in (whole, cut):
        train(config, padded(make_source(config)))
    assert_same_training(tmp_path / "whole", tmp_path / "cut")


def test_two_processes_train_like_one_with_the_whole_batch(
    make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    whole = make_config(tmp_path / "one", **CHANGES)
    train(whole, padded(make_source(whole)))
    repaired = make_config(tmp_path / "repaired", **CHANGES, repair=REPAIR)
    train(repaired, padded(make_source(repaired)))
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(f"""
        import dataclasses, importlib.util, sys, torch
        def load(name, path):
            spec = importlib.util.spec_from_file_location(name, path)
            module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
            return module
        fakes = load("fakes", {str(Path(__file__).parents[1] / "conftest.py")!r})
        here = load("here", {str(Path(__file__))!r})
        torch.set_num_threads(1)
        runs = (("two", {{}}), ("four", {{"accumulate": 2}}), ("repaired-two", {{"repair": here.REPAIR}}))
        for out, changes in runs:
            config = fakes.tiny_config({str(tmp_path)!r} + "/" + out, **here.CHANGES | changes)
            fakes.train(config, here.padded(fakes.source_of(config)))
    """))
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", str(29500 + os.getpid() % 1000),
    ]
    done = subprocess.run(
        [*launcher, str(script)], env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_training(tmp_path / "one", tmp_path / "two")
    assert_same_training(tmp_path / "one", tmp_path / "four")
    assert_same_training(tmp_path / "repaired", tmp_path / "repaired-two")
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1  # one writer


def test_shares_cover_the_batch_once() -> None:
    taken: list[int] = []
    for rank in range(4):
        processes = Processes("cpu")
        processes.rank, processes.count = rank, 4
        taken += list(range(24))[processes.share(24)]
    assert taken == list(range(24))


def test_a_batch_that_cannot_be_cut_is_refused(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", accumulate=3)
    with pytest.raises(ConfigError, match=r"batch of 8 cannot be cut into 1 processes x 3 passes"):
        train(config, make_source(config))
