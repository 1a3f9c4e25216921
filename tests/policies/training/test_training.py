"""Training: it learns what only the mask shows, resumes bit-equal after a kill, and refuses what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import load_file

from toyshift.core.contract import ACTION, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError
from toyshift.policies import PolicyConfig, TrainConfig, checkpoints, load_policy, train
from toyshift.policies.network.weights import load_network
from toyshift.policies.provenance import NOBODY_KNOWS, trained_on
from toyshift.policies.training.augmentation import augment, shifted
from toyshift.policies.training.memory import MemoryShortError, freed_memory_kept, memory_advice
from toyshift.policies.training.optimisation import learning_rate
from toyshift.policies.training.prefetch import Prefetch
from toyshift.policies.training.training_data import TrainingData
from toyshift.policies.training.training_run import DivergedError, Run

Make = Callable[..., Any]
WEIGHTS = ("model.safetensors", "ema.safetensors", "best.safetensors", "optimizer.safetensors")


WATCHED = ("pathway_distance", "weight_distance", "train_loss")  # one task, a hand half open: one group


class KilledError(Exception):
    """Stands for a kill: nothing of the run may be saved when it is raised."""


def same_weights(a: Path, b: Path) -> bool:
    for name in WEIGHTS:
        ours, theirs = load_file(str(a / name)), load_file(str(b / name))
        if ours.keys() != theirs.keys() or not all(torch.equal(ours[k], theirs[k]) for k in ours):
            return False
    return True


def test_detpool_learns_what_only_the_mask_shows(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    results = {}
    for pooling in ("detpool", "mean"):
        policy = {"pooling": pooling, "width": 64}
        config = make_config(
            tmp_path / pooling, policy, steps=200, batch_size=32, lr=3e-3, contrast=0.0, color=0.0, brightness=0.0,
            log_every=50,
        )
        results[pooling] = train(config, make_source(config, frames=256, cameras=("front",)))["validation_loss"]
    # The images are noise: from them alone the best guess is the median, a loss of about 0.58 (the gripper entry is
    # constant).
    assert results["detpool"] < 0.15 < 0.45 < results["mean"]


def test_a_killed_run_ends_bit_equal(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kwargs: dict[str, Any] = {
        "steps": 9, "shift": 2, "state_noise": 0.1, "view_dropout": 0.3, "checkpoint_minutes": 1e-9, "monitor": True
    }
    whole = make_config(tmp_path / "whole", **kwargs)
    train(whole, make_source(whole))
    broken = dataclasses.replace(whole, out=str(tmp_path / "broken"))
    step = Run.train_step

    def killed(run: Run, *args: Any) -> float:
        if run.step == stops[0]:
            stops.pop(0)
            raise KilledError
        return step(run, *args)

    monkeypatch.setattr(Run, "train_step", killed)
    stops = [0, 3, 7]  # before the first checkpoint, and twice behind one
    while stops:
        with pytest.raises(KilledError):
            train(broken, make_source(broken))
        with pytest.raises(FileError, match=r"half-trained|first checkpoint"):
            load_policy(broken.out)
    monkeypatch.setattr(Run, "train_step", step)
    summary = train(broken, make_source(broken))
    assert summary["finished"]
    assert same_weights(tmp_path / "whole", tmp_path / "broken")
    rows, again = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("whole", "broken")
    )
    assert [row["step"] for row in again] == list(range(1, 10))
    assert [{k: row[k] for k in ("validation_loss", *WATCHED)} for row in again] == [
        {k: row[k] for k in ("validation_loss", *WATCHED)} for row in rows
    ]  # what a monitor sees as well, to the bit
    assert rows[0]["weight_distance"] < rows[-1]["weight_distance"]
    assert {path.name for path in (tmp_path / "broken").glob("*-0*")} == {"at-00000000", "at-00000001"}


def test_a_checkpoint_that_was_cut_off_leaves_the_one_before_in_force(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_config(tmp_path / "whole", steps=5, checkpoint_minutes=1e-9)
    train(whole, make_source(whole))
    broken = dataclasses.replace(whole, out=str(tmp_path / "broken"))
    save, calls = checkpoints._save, []

    def cut(path: Path, tensors: Any) -> None:
        calls.append(path.name)
        if len(calls) == stops[0]:
            raise KilledError
        save(path, tensors)

    monkeypatch.setattr(checkpoints, "_save", cut)
    stops = [2, 12, 10]  # files written before: in the first checkpoint, in the third, and among the finished weights
    while stops:
        with pytest.raises(KilledError):
            train(broken, make_source(broken))
        state = tmp_path / "broken" / "state.json"
        assert not state.exists() or not json.loads(state.read_text())["finished"]
        stops.pop(0)
        calls.clear()
    assert checkpoints.load_tensors(
        tmp_path / "broken", checkpoints.read_state(tmp_path / "broken"), "model.safetensors"
    )
    monkeypatch.setattr(checkpoints, "_save", save)
    train(broken, make_source(broken))
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_kill_9_and_again(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    whole = make_config(tmp_path / "whole", steps=12, checkpoint_minutes=1e-9)
    train(whole, make_source(whole))
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(f"""
        import importlib.util, sys, torch
        spec = importlib.util.spec_from_file_location("fakes", {str(Path(__file__).parents[1] / "conftest.py")!r})
        fakes = importlib.util.module_from_spec(spec); spec.loader.exec_module(fakes)
        torch.set_num_threads(1)
        config = fakes.tiny_config({str(tmp_path / "broken")!r}, steps=12, checkpoint_minutes=1e-9)
        fakes.train(config, fakes.source_of(config))
    """))
    process = subprocess.Popen(
        [sys.executable, str(script)], env=os.environ | {"OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    metrics = tmp_path / "broken" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= 4):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    broken = dataclasses.replace(whole, out=str(tmp_path / "broken"))
    train(broken, make_source(broken))
    assert same_weights(tmp_path / "whole", tmp_path / "broken")


def test_a_finished_run_does_nothing(trained: Path, make_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "__init__", None)  # building anything would fail
    before = {p.name: p.stat().st_mtime_ns for p in trained.iterdir()}
    summary = train(make_config(trained))
    assert summary["cached"]
    assert summary["step"] == 6
    assert {p.name: p.stat().st_mtime_ns for p in trained.iterdir() if p.name != "train.lock"} == {
        k: v for k, v in before.items() if k != "train.lock"
    }


def test_weights_are_kept_on_the_way(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    whole = make_config(tmp_path / "whole", steps=6, keep_steps=(2, 6))
    train(whole, make_source(whole))
    kept = {step: checkpoints.kept_folder(tmp_path / "whole", step) for step in (2, 6)}
    assert load_policy(kept[2]).policy.config == whole.policy
    last, end = (load_file(str(folder / "model.safetensors")) for folder in (kept[6], tmp_path / "whole"))
    assert all(torch.equal(last[name], end[name]) for name in end)
    early = load_file(str(kept[2] / "model.safetensors"))
    assert not all(torch.equal(early[name], end[name]) for name in end)
    plain = make_config(tmp_path / "plain", steps=6)
    train(plain, make_source(plain))
    assert same_weights(tmp_path / "whole", tmp_path / "plain")  # keeping changes nothing
    with pytest.raises(ConfigError, match="went past step 2 without keeping it"):
        train(dataclasses.replace(plain, keep_steps=(2,)))
    with pytest.raises(ConfigError, match="between 1 and the 6 steps"):
        make_config(tmp_path / "late", steps=6, keep_steps=(7,))


def test_another_configuration_is_refused(trained: Path, make_config: Make) -> None:
    with pytest.raises(ConfigError, match=r"lr: 0.5 now, 0.001 there"):
        train(make_config(trained, lr=0.5))


def test_fine_tuning_starts_from_the_weights_that_act(
    trained: Path, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    config = make_config(tmp_path / "tuned", init_from=str(trained), lr=1e-12, weight_decay=0.0, steps=1)
    source = make_source(config, seed=5)  # other data and statistics: the normaliser must stay
    train(config, source)
    tuned, start = load_file(str(tmp_path / "tuned" / "model.safetensors")), load_file(str(trained / "ema.safetensors"))
    assert all(torch.allclose(tuned[k], start[k], atol=1e-9) for k in start)
    other = make_config(tmp_path / "other", {"width": 40}, init_from=str(trained))
    with pytest.raises(FileError, match="of another policy"):
        train(other, make_source(other))


def test_what_was_tuned_from_a_folder_of_before_does_not_pass_for_trained_on_its_own_data_alone(
    of_before: Make, save_untrained: Make, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    older = of_before(save_untrained(tmp_path / "older"))  # it says nothing of its data
    config = make_config(tmp_path / "tuned", init_from=str(older), steps=1)
    own = {"object_sets": ["toys:train"], "object_ids": ["0029355a29f1b11c"], "starts": []}
    train(config, dataclasses.replace(make_source(config), made_of=(own,)))
    assert trained_on(tmp_path / "tuned") == [NOBODY_KNOWS, own]


def test_the_best_weights_are_kept_and_chosen(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "run", steps=4, validate_every=1)
    losses = iter([0.4, 0.2, 0.3, 0.25])
    weights: list[dict[str, torch.Tensor]] = []
    loss_of = Run._loss_of

    def pretended(run: Run, network: Any, batch: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            return loss_of(run, network, batch)
        # validation: the averaged weights are in it
        weights.append({k: v.clone() for k, v in run.policy.state_dict().items()})
        return torch.tensor(next(losses))

    monkeypatch.setattr(Run, "_loss_of", pretended)
    train(config, make_source(config))
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    assert state["best_loss"] == pytest.approx(0.2)
    best = load_file(str(tmp_path / "run" / "best.safetensors"))
    assert all(torch.equal(best[k], weights[1][k]) for k in best)

    def acting() -> dict[str, torch.Tensor]:
        return load_network(tmp_path / "run").state_dict()

    assert all(torch.equal(v, weights[3][k]) for k, v in acting().items() if k in best)
    for act, place in (("best", 1), ("last", 3)):  # the same command on the finished folder
        assert train(dataclasses.replace(config, act=act))["cached"]
        assert all(torch.equal(v, weights[place][k]) for k, v in acting().items() if k in best)


def test_the_best_weights_need_held_out_episodes(make_config: Make, fake_windows: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", act="best")
    with pytest.raises(ConfigError, match="act best needs held-out episodes"):
        train(config, TrainingData(fake_windows(), None, config.batch_size, config.seed))


def test_encoders_learn_at_their_own_rate(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", encoder_lr_scale=1e-9, weight_decay=0.0)
    run = Run(config, make_source(config))
    before = {k: p.detach().clone() for k, p in run.policy.named_parameters()}
    run.train_step(*run.batch(0))
    moved = {
        k: float((p.detach() - before[k]).abs().max()) for k, p in run.policy.named_parameters() if p.grad is not None
    }
    assert all(
        (change > 1e-6) != name.startswith("encoders.")
        for name, change in moved.items()
        if "position" not in name and change
    )
    assert {name.split(".")[0] for name in moved} >= {"encoders", "head"}


def test_a_compiled_network_learns_the_same(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # traced as for the compiler, which itself would take minutes: Inductor's own result was compared once by hand
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    losses = []
    for compiled in (False, True):
        config = make_config(tmp_path / str(compiled), compile=compiled, precision="f32")
        run = Run(config, make_source(config, cameras=("front",)))
        losses.append([run.train_step(*run.batch(step)) for step in range(3)])
    assert np.allclose(losses[0], losses[1], rtol=1e-5)


def test_compiling_without_a_compiler_says_so(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    config = make_config(tmp_path / "run", compile=True, device="cpu")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        Run(config, make_source(config))


def test_weights_and_biases_offline(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = make_config(tmp_path / "run", wandb="toyshift-test")
    train(config, make_source(config))
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))


def test_weights_and_biases_absent_is_named(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = make_config(tmp_path / "run", wandb="toyshift-test")
    with pytest.raises(MissingDependencyError, match=r"pip install 'toyshift\[wandb\]'"):
        train(config, make_source(config))


def test_a_broken_number_stops_with_step_and_frames(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run")
    source = make_source(config)
    source.windows.data[STATE][int(source.indices(3)[0])] = np.nan
    first = next(s for s in range(6) if np.isnan(source.batch(source.indices(s))[STATE]).any())
    with pytest.raises(DivergedError, match=rf"at step {first} \(dataset frames {source.indices(first)[0]}, "):
        train(config, source)


def test_a_full_disk_is_named_with_the_weights(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    config = make_config(tmp_path, steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        with pytest.raises(FileError, match=r"\.safetensors .*No space left.*make room and run the same command again"):
            train(config, make_source(config))
    assert train(config, make_source(config))["finished"]


def test_missing_masks_are_refused(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run")
    source = make_source(config)
    del source.windows.data[mask_key("wrist")]
    with pytest.raises(ContractError, match=r"pooling 'detpool' needs masks.*wrist"):
        train(config, source)


@pytest.mark.parametrize("pooling", ["detpool-post", "box", "crop", "mask-channel"])
def test_every_pooling_with_a_mask_asks_for_masks(
    pooling: str, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    config = make_config(tmp_path / "run", {"pooling": pooling})
    source = make_source(config)
    del source.windows.data[mask_key("wrist")]
    with pytest.raises(ContractError, match=rf"pooling '{pooling}' needs masks.*wrist"):
        train(config, source)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), MemoryError(),
    ],
)
def test_too_little_memory_names_what_to_lower(
    error: Exception, make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any) -> float:
        raise error

    monkeypatch.setattr(Run, "train_step", short)
    config = make_config(tmp_path / "run")
    with pytest.raises(MemoryShortError, match=r"lower --batch-size \(now 8\)"):
        train(config, make_source(config))
    big = TrainConfig(data=("x",), policy=PolicyConfig(encoder="vit-base", policy_net="transformer-tiny"))
    with (
        pytest.raises(MemoryShortError, match=r"--history \(now 16\), the encoder \(vit-base\) or --encoder-size"),
        memory_advice(big),
    ):
        raise error
    with pytest.raises(RuntimeError, match="another"), memory_advice(big):
        raise RuntimeError("another")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left alone")
def test_memory_that_a_step_frees_is_there_for_the_next() -> None:
    def pages_of_a_step(mebibytes: int = 64) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(mebibytes * 2**18).add_(1.0)  # of 64 MiB: 16384 pages, 32 where the kernel gives huge ones
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    with freed_memory_kept():
        pages_of_a_step()
        assert pages_of_a_step() < 10
    assert pages_of_a_step() > 20, "memory is still kept"
    pages_of_a_step(16)
    assert pages_of_a_step(16) < 4, "smaller tensors no longer find the memory of the last one"



@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux only")
def test_memory_that_is_not_there_is_refused_and_not_killed_for(make_config: Make, tmp_path: Path) -> None:
    free = 1024 * int(
        next(
            line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")
        ).split()[1]
    )
    kept = []

    def takes(share: float) -> None:
        # never written: the kernel would grant each of them
        kept.append(torch.empty(int(share * free), dtype=torch.uint8))

    with memory_advice(make_config(tmp_path)):
        takes(0.4)
        takes(0.4)
        with pytest.raises(RuntimeError, match="can't allocate memory"):
            takes(0.4)
    takes(0.4)  # the limit is gone


def test_the_saved_configuration_says_where_the_mask_acts(trained: Path) -> None:
    assert "detpool and detpool-post are the same here" in json.loads((trained / "config.json").read_text())["mask_use"]
    assert PolicyConfig(encoder="vit-tiny").mask_use == "attention of every block and pooling"
    assert PolicyConfig(encoder="vit-tiny", pooling="detpool-post").mask_use == "pooling only"
    assert PolicyConfig(encoder="vit-tiny", pooling="mean").mask_use == "none"
    assert PolicyConfig(pooling="mask-channel").mask_use == "input channel of the encoder"
    assert (
        PolicyConfig(encoder="vit-tiny", mask_input=True).mask_use
        == "input channel of the encoder; attention of every block and pooling"
    )
    assert PolicyConfig(pooling="crop").mask_use.startswith("the image is cropped")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_asked_for_and_absent(make_config: Make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sees no CUDA device; use --device cpu"):
        train(make_config(tmp_path / "run", device="cuda"))
    assert not (tmp_path / "run").exists()


def test_bf16_trains(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", precision="bf16", steps=3)
    assert np.isfinite(train(config, make_source(config))["loss"])
    assert load_file(str(tmp_path / "run" / "model.safetensors"))["head.mlp.0.weight"].dtype == torch.float32


def test_learning_rate_warms_up_and_falls() -> None:
    config = TrainConfig(data=("x",), steps=1000, warmup=100, lr=1.0, lr_end=0.1)
    rates = [learning_rate(config, s) for s in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.1)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


def test_train_config_round_trip_and_contradictions() -> None:
    config = TrainConfig(data=("a", "b"), weights=(1.0, 2.0), policy=PolicyConfig(pooling="mean"))
    assert TrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    for bad in ({"data": ()}, {"weights": (1.0,)}, {"ema": 1.0}, {"lr": 0.0}, {"shift": -1}, {"precision": "f16"}):
        with pytest.raises((ConfigError, ValueError)):
            TrainConfig(**({"data": ("a", "b")} | bad))


def test_augmentation_is_a_function_of_seed_and_step(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path, shift=3, state_noise=0.1, view_dropout=0.9)
    source, cameras = make_source(config), ("front", "wrist")
    batch = source.batch(source.indices(0))
    kept = {k: v.copy() for k, v in batch.items()}
    a, b, other = (augment(batch, cameras, config, step) for step in (4, 4, 5))
    assert all(np.array_equal(batch[k], kept[k]) for k in batch)
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not np.array_equal(a[image_key("front")], other[image_key("front")])
    assert a["augment.keep"].any(axis=1).all()
    assert not a["augment.keep"].all()
    assert np.array_equal(a[ACTION], batch[ACTION])


def test_shift_moves_image_and_mask_alike() -> None:
    frames = np.arange(2 * 1 * 4 * 5, dtype=np.uint8).reshape(2, 1, 4, 5)
    moved = shifted(frames, np.array([[0, 0], [1, -2]]))
    assert np.array_equal(moved[0], frames[0])
    assert np.array_equal(moved[1, 0, 1:, :3], frames[1, 0, :3, 2:])
    assert np.array_equal(moved[1, 0, 0, :3], frames[1, 0, 0, 2:])  # the edge is repeated


def test_prefetch_keeps_order_and_hands_errors_over() -> None:
    with Prefetch(lambda i: i * i, 2, 6) as items:
        assert list(items) == [4, 9, 16, 25]
    with Prefetch(lambda i: 1 // (2 - i), 0, 5) as items, pytest.raises(ZeroDivisionError):
        list(items)


def test_more_threads_than_the_cores_can_use_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"threads is 1024; it must be at most \d+ on this machine, 4 for each of"):
        train(TrainConfig(data=(str(tmp_path),), out=str(tmp_path / "out"), threads=1024))
    assert not (tmp_path / "out").exists()
