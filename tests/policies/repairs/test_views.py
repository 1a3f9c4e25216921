"""Prototype and blind: what the images show cannot act; half a share is an augmentation; both act and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError
from toyshift.policies import export, load_policy, train
from toyshift.policies.network.views import prototype
from toyshift.policies.parts import sees_mask
from toyshift.policies.training.training_run import Run

Make = Callable[..., Any]


def test_each_label_has_one_grey() -> None:
    masks = torch.tensor([[0, 1], [2, 3]], dtype=torch.uint8)
    picture = prototype(masks)
    assert picture.dtype == torch.uint8
    assert picture[..., 0].tolist() == [[128, 255], [64, 0]]
    assert torch.equal(picture[..., 0], picture[..., 2])


@pytest.mark.parametrize("pooling", ["mean", "detpool", "attention", "crop", "mask-channel"])
@pytest.mark.parametrize("repair", ["prototype", "blind"])
def test_what_the_images_show_does_not_act(
    repair: str, pooling: str, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    config = make_config(tmp_path, {"pooling": pooling}, repair=repair, precision="f32")
    source = make_source(config)
    policy = Run(config, source).policy.eval()
    batch = {k: torch.from_numpy(v) for k, v in source.batch(np.arange(4)).items()}

    def answer(change: Callable[[torch.Tensor], torch.Tensor], kind: str) -> torch.Tensor:
        images = {c: batch[image_key(c)][:, 0] for c in policy.cameras}
        masks = {c: batch[mask_key(c)][:, 0] for c in policy.cameras}
        for views in (images, masks):
            if (kind == "image") == (views is images):
                views |= {c: change(view) for c, view in views.items()}
        with torch.no_grad():
            return policy.predict(images, masks, batch[STATE][:, 0])

    same = answer(lambda view: view, "image")
    assert torch.equal(same, answer(lambda view: 255 - view, "image"))  # another table, light, colour
    moved = answer(lambda view: view.roll(5, dims=2), "mask")
    assert torch.equal(same, moved) == (repair == "blind")


def test_half_a_share_shows_half_of_the_samples_so(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path, repair="prototype?share=0.5", batch_size=32)
    source = make_source(config)
    run = Run(config, source)
    assert not run.policy.config.prototype  # it acts on images
    shares = []
    for step in range(8):
        indices, batch = run.batch(step)
        plain = source.batch(indices)
        drawn = []
        for camera in ("front", "wrist"):
            image, want = batch[image_key(camera)], prototype(batch[mask_key(camera)])
            is_plain = (image == torch.from_numpy(plain[image_key(camera)])).flatten(1).all(dim=1)
            assert (is_plain | (image == want).flatten(1).all(dim=1)).all()
            drawn.append(~is_plain)
        assert torch.equal(*drawn)  # all views of a sample
        shares.append(drawn[0].float().mean().item())
    assert 0.4 < np.mean(shares) < 0.6
    again = Run(config, source).batch(3)[1][image_key("front")]
    assert torch.equal(again, run.batch(3)[1][image_key("front")])


def test_labels_tell_who_sees_masks(make_config: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path, {"pooling": "mean"}, repair="prototype").repaired().policy
    assert config.pooling_label == "mean + prototype"
    assert sees_mask(config.pooling_label)
    assert config.needs_masks
    assert not config.needs_images
    assert "picture of the masks" in config.mask_use
    blind = make_config(tmp_path, {"pooling": "detpool"}, repair="blind").repaired().policy
    assert (blind.pooling_label, blind.needs_masks, blind.mask_use) == ("blind", False, "none")
    assert not sees_mask(blind.pooling_label)


def test_prototype_needs_masks(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    for repair in ("prototype", "prototype?share=0.5"):
        config = make_config(tmp_path, {"pooling": "mean"}, repair=repair)
        source = make_source(config)
        del source.windows.data[mask_key("wrist")]
        with pytest.raises(ContractError, match=r"prototype.* needs masks, .*wrist"):
            Run(config, source)


def test_cached_tokens_are_refused_where_images_change() -> None:
    from toyshift.policies import PolicyConfig, TrainConfig

    policy = PolicyConfig(
        pooling="mean", encoder="efficientnet-lite0", freeze_encoder=True, pool_first=True, encoder_size=32
    )
    for repair in ("prototype?share=0.5", "blind", "hint?of=pixel"):
        with pytest.raises(ConfigError, match=r"token|pool_first"):
            TrainConfig(data=("x",), policy=policy, repair=repair)


@pytest.mark.parametrize("repair", ["prototype", "blind"])
@pytest.mark.usefixtures("one_table_of_operators")
def test_it_acts_and_a_bundle_asks_for_what_it_sees(
    repair: str, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    config = make_config(tmp_path / "run", {"pooling": "mean"}, repair=repair, steps=2)
    train(config, make_source(config, cameras=("front",)))
    policy = load_policy(tmp_path / "run")
    bundle = load_policy(export(tmp_path / "run", tmp_path / "bundle"))  # which verifies its golden vectors
    asked = {name.split(".")[0] for name in (i.name for i in bundle.session.get_inputs())}
    assert asked == {"state"} | ({"mask"} if repair == "prototype" else set())
    rng = np.random.default_rng(0)
    seen = {
        "pixels": {c: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for c in policy.cameras},
        "masks": {c: rng.integers(0, 4, (32, 32), dtype=np.uint8) for c in policy.cameras},
        "agent_pos": np.zeros(3, np.float32),
    }
    assert np.allclose(policy.act(seen), bundle.act(seen), atol=1e-5)
