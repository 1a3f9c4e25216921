"""Cached tokens of frozen encoders: the losses of encoding anew, built once, resumable, and bound to their causes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toyshift.core.contract import image_key
from toyshift.core.errors import ConfigError, FileError
from toyshift.policies import PolicyConfig, TrainConfig, load_policy, train
from toyshift.policies.batch_keys import FROZEN, token_key
from toyshift.policies.training import token_cache as cache
from toyshift.policies.training.training_data import open_source
from toyshift.policies.training.training_run import Run

pytest.importorskip("timm")
Make = Callable[..., Any]
EPISODES, LENGTH = 6, 7
WIDTH = 48  # of the ViT, which has two blocks
POOLINGS = ("detpool", "detpool-post", "box", "mean", "cls", "crop")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small ViT in timm's format."""
    from timm.models.vision_transformer import VisionTransformer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = VisionTransformer(img_size=32, patch_size=16, num_classes=0, embed_dim=WIDTH, depth=2, num_heads=3)
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    save_file(net.state_dict(), str(path))
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, store: Make) -> Path:
    folder: Path = store(tmp_path_factory.mktemp("data") / "demos", EPISODES, LENGTH)
    return folder


@pytest.fixture
def frozen(
    dataset: Path, weights: Path, make_config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shrink_vit: Make
) -> Callable[..., TrainConfig]:
    """Makes the configuration of a run on the dataset, with caches of its own."""
    shrink_vit(WIDTH, 2, 3)
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_place", lambda folder, name: tmp_path / "cache" / f"tokens-{name}")

    def make(policy: dict[str, Any] | None = None, **changes: Any) -> TrainConfig:
        settings = {
            "encoder": "vit-tiny", "encoder_weights": f"timm:{weights}", "freeze_encoder": True, "pool_first": True
        }
        fields = {"data": (str(dataset),), "validation": 0.34, "precision": "f32", "steps": 3, "batch_size": 4}
        config: TrainConfig = make_config(tmp_path / "run", settings | (policy or {}), **fields | changes)
        return config

    return make


@pytest.mark.parametrize("pooling", POOLINGS)
def test_cached_tokens_give_the_losses_of_encoding_anew(pooling: str, frozen: Callable[..., TrainConfig]) -> None:
    off: dict[str, float] = {"brightness": 0.0, "contrast": 0.0, "color": 0.0}  # with one copy images are not augmented
    losses, gradients = [], []
    for copies in (0, 1):
        run = Run(config := frozen({"pooling": pooling}, token_copies=copies, **off), open_source(config))
        _, batch = run.batch(0)
        assert any(k.startswith(FROZEN) for k in batch) == (copies == 1)
        assert (image_key("front") in batch) == (copies == 0)
        loss = run.loss(batch)
        loss.backward()
        losses.append([float(loss.detach()), run.validate()])
        gradients.append(run.policy.encoder_of("front").position.grad)
    assert np.allclose(losses[0], losses[1], rtol=1e-3)  # tokens are stored as float16
    if pooling != "cls":
        assert torch.allclose(gradients[0], gradients[1], atol=1e-3 * float(gradients[0].abs().max()))


def test_pictures_of_masks_have_tokens_of_their_own(frozen: Callable[..., TrainConfig]) -> None:
    off: dict[str, float] = {"brightness": 0.0, "contrast": 0.0, "color": 0.0}
    losses = {}
    for name, repair, copies in (("plain", "", 1), ("cached", "prototype", 1), ("anew", "prototype", 0)):
        config = frozen({"pooling": "mean"}, token_copies=copies, repair=repair, **off)
        run = Run(config, open_source(config))
        losses[name] = float(run.loss(run.batch(0)[1]).detach())
    assert losses["cached"] == pytest.approx(losses["anew"], rel=1e-3)
    assert losses["cached"] != pytest.approx(losses["plain"], rel=1e-3)


def test_background_and_empty_masks(frozen: Callable[..., TrainConfig]) -> None:
    config = frozen()
    policy = Run(config, open_source(config)).policy.eval()
    images = {c: torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8) for c in policy.cameras}
    masks = {c: torch.zeros((2, 32, 32), dtype=torch.uint8) for c in policy.cameras}
    masks["front"][0, :16, :16] = 1  # one patch
    with torch.no_grad():
        before = policy.pool(images, masks)
        images = {c: torch.where(masks[c][..., None] == 1, i, 255 - i) for c, i in images.items()}
        assert torch.equal(before, policy.pool(images, masks))
    nothing = policy.pooling.nothing.detach()
    assert torch.equal(before[1, 0], nothing)
    assert torch.equal(before[0, 1], nothing)
    assert not torch.equal(before[0, 0], nothing)


def test_a_killed_build_goes_on_and_a_finished_one_is_read(
    frozen: Callable[..., TrainConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BLOCK", 10)
    config = frozen()
    encode, starts = cache._encode, []

    def counted(arrays: Any, rows: slice, copy: int, *rest: Any) -> Any:
        if stop and len(starts) == 3:
            raise KeyboardInterrupt
        starts.append(rows.start)
        return encode(arrays, rows, copy, *rest)

    monkeypatch.setattr(cache, "_encode", counted)
    stop = True
    with pytest.raises(KeyboardInterrupt):
        Run(config, open_source(config))
    assert starts == [0, 0, 10]  # the first finds the shapes
    stop, starts = False, []
    run = Run(config, open_source(config))
    assert starts == [0, 20, 30, 40]
    (place,) = [p for p in (tmp_path / "cache").glob("tokens-*") if p.is_dir()]
    token = np.load(place / f"{token_key('wrist')}.npy")
    assert token.shape == (EPISODES * LENGTH, 1, WIDTH)
    whole = encode(run.source.windows.arrays[0][1], slice(0, EPISODES * LENGTH), 0, run.policy, config, False)
    assert np.allclose(token[:, 0], whole[token_key("wrist")], atol=1e-3)
    starts = []
    Run(config, open_source(config))
    assert starts == []
    (place / f"{token_key('wrist')}.npy").write_bytes(b"short")
    with pytest.raises(FileError, match="it is made again from the dataset"):
        Run(config, open_source(config))


def test_a_cache_is_bound_to_what_its_tokens_depend_on(
    frozen: Callable[..., TrainConfig], weights: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    from safetensors.torch import load_file

    save_file({k: v * 1.01 for k, v in load_file(str(weights)).items()}, str(other))
    same = [frozen(), frozen(lr=0.5), frozen({"width": 40}), frozen(seed=4)]
    different = [
        frozen({"pooling": "mean"}), frozen({"pooling": "detpool-post"}), frozen({"encoder_weights": f"timm:{other}"}),
        frozen(token_copies=2), frozen(token_copies=2, seed=4),
    ]
    for config, count in zip([*same, *different], [1] * len(same) + list(range(2, 2 + len(different))), strict=True):
        Run(config, open_source(config))
        assert len([p for p in (tmp_path / "cache").glob("tokens-*") if p.is_dir()]) == count


def test_copies_are_augmented_and_drawn(frozen: Callable[..., TrainConfig]) -> None:
    run = Run(config := frozen(token_copies=3, shift=4), open_source(config))
    (_, arrays), key = run.source.windows.arrays[0], token_key("front")
    plain = Run(one := frozen(), open_source(one)).source.windows.arrays[0][1][key]
    assert np.array_equal(arrays[key][:, 0], plain[:, 0])
    assert not np.allclose(arrays[key][:, 0], arrays[key][:, 1], atol=1e-2)
    assert not np.allclose(arrays[key][:, 1], arrays[key][:, 2], atol=1e-2)
    indices, batch = run.batch(5)
    stored = run.source.batch(indices)[key]  # (B, T, copies, D)
    assert batch[key].shape == (4, 1, WIDTH)
    drawn = [next(c for c in range(3) if np.array_equal(batch[key][i].numpy(), stored[i, :, c])) for i in range(4)]
    assert {d for step in range(8) for d in _drawn(run, step, key)} == {0, 1, 2}
    assert drawn == _drawn(run, 5, key)
    (held, *_) = run.source.validation_batches(1)
    assert held[key].shape[1:] == (1, WIDTH)


def _drawn(run: Run, step: int, key: str) -> list[int]:
    indices, batch = run.batch(step)
    stored = run.source.batch(indices)[key]
    return [
        next(c for c in range(3) if np.array_equal(batch[key][i].numpy(), stored[i, :, c])) for i in range(len(indices))
    ]


def test_a_policy_with_a_history_trains_on_tokens_and_acts_on_images(
    frozen: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    config = frozen({"policy_net": "transformer-tiny", "history": 3})
    assert np.isfinite(train(config)["validation_loss"])
    policy = load_policy(tmp_path / "run")
    rng = np.random.default_rng(0)
    images = {c: rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8) for c in policy.cameras}
    masks = {c: np.ones((1, 32, 32), np.uint8) for c in policy.cameras}
    assert policy.predict(images, masks, np.zeros((1, 3), np.float32)).shape == (1, 4, 3)


def test_contradictions() -> None:
    frozen: dict[str, Any] = {"encoder": "efficientnet-lite0", "freeze_encoder": True, "pool_first": True}
    with pytest.raises(ConfigError, match="add freeze_encoder"):
        PolicyConfig(pool_first=True)
    with pytest.raises(ConfigError, match="learns from every token"):
        PolicyConfig(**frozen, pooling="attention")
    with pytest.raises(ConfigError, match="a class token of its own"):
        PolicyConfig(**frozen, pooling="cls")
    with pytest.raises(ConfigError, match="mirror changes the images"):
        TrainConfig(data=("x",), policy=PolicyConfig(**frozen), mirror=True)
    assert TrainConfig(data=("x",), policy=PolicyConfig(**frozen), mirror=True, token_copies=0).mirror
