"""The policy network: normalisers, padding, which inputs it depends on, and bad input."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import ACTION, ACTION_IS_PAD, STATE, image_key
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.network.policy import Normaliser
from toyshift.policies.parts import POOLINGS, sees_mask

SMALL: dict[str, Any] = {"width": 32, "stem": 16, "hidden": 64, "chunk": 4, "execute": 2, "gripper_gain": 0.0}


@pytest.fixture
def build(fake_windows: Callable[..., Any]) -> Callable[..., tuple[Policy, dict[str, torch.Tensor]]]:
    def make(**kwargs: Any) -> tuple[Policy, dict[str, torch.Tensor]]:
        windows = fake_windows(16)
        policy = Policy(
            PolicyConfig(**SMALL | kwargs), windows.action_contract, windows.observation_contract, windows.stats
        )
        batch = windows.batch(np.arange(16))
        return policy, {k: torch.from_numpy(v) for k, v in batch.items() if isinstance(v, np.ndarray)}

    return make


def views(batch: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    cameras = ("front", "wrist")
    return (
        {c: batch[image_key(c)][:, 0] for c in cameras}, {c: batch[f"masks.{c}"][:, 0] for c in cameras},
        batch[STATE][:, 0],
    )


def test_normaliser_round_trip_and_floor() -> None:
    normaliser = Normaliser([1.0, -2.0, 5.0], [3.0, 0.5, 0.0], floor=1e-3)
    x = torch.tensor([[4.0, -1.5, 5.0]])
    torch.testing.assert_close(normaliser(x), torch.tensor([[1.0, 1.0, 0.0]]))
    torch.testing.assert_close(normaliser.restore(normaliser(x)), x)
    assert normaliser.std[2] == pytest.approx(1e-3)


def test_config_round_trip_and_contradictions() -> None:
    config = PolicyConfig(pooling="cls", state_keep=("x",), cameras=("front",), ensemble=0.1)
    assert PolicyConfig.from_json(config.to_json()) == config
    with pytest.raises(UnknownNameError, match="detpool"):
        PolicyConfig(pooling="detpol")
    with pytest.raises(ConfigError, match="execute"):
        PolicyConfig(chunk=4, execute=5)
    with pytest.raises(ConfigError, match="does not know novelty"):
        PolicyConfig.from_json({"novelty": 1})


def test_tables_tell_which_policies_are_given_the_mask() -> None:
    given = {"detpool", "detpool-post", "box", "crop", "mask-channel"}
    for name in POOLINGS:
        plain, told = PolicyConfig(pooling=name), PolicyConfig(pooling=name, mask_input=True)
        assert plain.pooling_label == name
        assert told.pooling_label == f"{name} + mask"
        assert sees_mask(plain.pooling_label) == plain.needs_masks == (name in given)
        assert sees_mask(told.pooling_label)
        assert told.needs_masks
    assert not sees_mask("")  # the oracle, and policies behind servers that do not say


def test_padding_is_no_part_of_the_loss(build: Callable[..., Any]) -> None:
    policy, batch = build()
    batch[ACTION_IS_PAD][:, 2:] = True
    loss = policy(batch)["loss"]
    spoilt = batch | {ACTION: batch[ACTION].clone()}
    spoilt[ACTION][:, 2:] = 1e6
    assert torch.equal(policy(spoilt)["loss"], loss)
    shown = policy.normalise_action(policy.predict(*views(batch))) - policy.normalise_action(batch[ACTION])
    torch.testing.assert_close(loss, shown[:, :2].abs().mean(), rtol=1e-4, atol=1e-5)
    batch[ACTION_IS_PAD][:] = True
    assert policy(batch)["loss"] == 0.0


def test_training_and_acting_see_the_same_network(build: Callable[..., Any]) -> None:
    policy, batch = build()
    sparse = policy.train().predict(*views(batch))
    torch.testing.assert_close(sparse, policy.eval().predict(*views(batch)), rtol=1e-5, atol=1e-5)
    assert sparse.shape == (16, 4, 3)


def test_detpool_ignores_pixels_far_from_the_target(build: Callable[..., Any]) -> None:
    policy, batch = build()
    images, masks, state = views(batch)
    far = {}
    for camera, image in images.items():
        near = torch.nn.functional.max_pool2d((masks[camera] == 1).float()[:, None], 31, 1, 15)[:, 0] > 0
        far[camera] = torch.where(near.unsqueeze(-1), image, 255 - image)
    assert not torch.equal(far["front"], images["front"])
    assert torch.equal(policy.predict(images, masks, state), policy.predict(far, masks, state))
    mean, _ = build(pooling="mean")
    assert not torch.equal(mean.predict(images, {}, state), mean.predict(far, {}, state))


def test_only_kept_state_and_cameras_matter(build: Callable[..., Any]) -> None:
    policy, batch = build(state_keep=("x", "opening"), cameras=("wrist",))
    images, masks, state = views(batch)
    before = policy.predict(images, masks, state)
    other = state.clone()
    other[:, 1] += 7.0
    assert torch.equal(policy.predict(images | {"front": 255 - images["front"]}, masks, other), before)
    other[:, 2] += 7.0
    assert not torch.equal(policy.predict(images, masks, other), before)


def test_a_policy_may_see_images_alone(build: Callable[..., Any]) -> None:
    policy, batch = build(state_keep=("none",))
    images, masks, state = views(batch)
    before = policy.predict(images, masks, state)
    assert torch.equal(policy.predict(images, masks, state + 7.0), before)
    assert not torch.equal(policy.predict(images | {"front": 255 - images["front"]}, masks, state), before)
    with pytest.raises(ConfigError, match="none stands alone"):
        PolicyConfig(state_keep=("none", "x"))
    with pytest.raises(ConfigError, match="images alone: drop privileged"):
        PolicyConfig(state_keep=("none",), privileged=True)


def test_a_hidden_view_does_not_matter(build: Callable[..., Any]) -> None:
    policy, batch = build()
    keep = torch.tensor([[True, False]]).repeat(16, 1)
    changed = batch | {image_key("wrist"): 255 - batch[image_key("wrist")]}
    assert torch.equal(policy(batch | {"augment.keep": keep})["loss"], policy(changed | {"augment.keep": keep})["loss"])
    assert not torch.equal(policy(batch)["loss"], policy(changed)["loss"])


def test_the_gripper_is_pushed_to_open_or_closed_and_nothing_else_changes(build: Callable[..., Any]) -> None:
    policy, batch = build()
    plain = policy.predict(*views(batch))
    decided, _ = build(gripper_gain=10.0)
    decided.load_state_dict(policy.state_dict())
    pushed = decided.predict(*views(batch))
    place = policy.action_contract.names.index("gripper")
    expected = ((plain[..., place] - 0.5) * 10.0 + 0.5).clamp(0.0, 1.0)
    torch.testing.assert_close(pushed[..., place], expected)
    others = [i for i in range(policy.action_contract.size) if i != place]
    torch.testing.assert_close(pushed[..., others], plain[..., others])


def test_shared_encoders_have_one_set_of_weights(build: Callable[..., Any]) -> None:
    shared, own = build(share_encoder=True)[0], build()[0]
    assert len(shared.encoders) == 1
    assert len(own.encoders) == 2
    assert own.encoder_of("front") is not own.encoder_of("wrist")


def test_relative_actions_move_with_their_state_entry(fake_windows: Callable[..., Any]) -> None:
    windows = fake_windows(16)
    contract = dataclasses.replace(windows.action_contract, names=("x", "dy", "gripper"))  # x is a state entry as well
    policy = Policy(
        PolicyConfig(**SMALL, relative=True, state_keep=("opening",)), contract, windows.observation_contract
    )
    batch = {k: torch.from_numpy(v) for k, v in windows.batch(np.arange(16)).items() if isinstance(v, np.ndarray)}
    images, masks, state = views(batch)
    moved = state + torch.tensor([0.5, 0.25, 0.0])
    difference = policy.predict(images, masks, moved) - policy.predict(images, masks, state)
    torch.testing.assert_close(difference, torch.tensor([0.5, 0.0, 0.0]).expand(16, 4, 3), rtol=1e-4, atol=1e-5)
    error = (policy.predict(images, masks, state) - batch[ACTION]).abs().mean()
    torch.testing.assert_close(policy(batch)["loss"], error, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="relative needs an action"):
        Policy(PolicyConfig(**SMALL, relative=True), windows.action_contract, windows.observation_contract)


def test_bad_input(build: Callable[..., Any], fake_windows: Callable[..., Any]) -> None:
    with pytest.raises(UnknownNameError, match=r"camera 'frnt'.*Did you mean 'front'"):
        build(cameras=("frnt",))
    with pytest.raises(UnknownNameError, match="state entry 'z'"):
        build(state_keep=("z",))
    windows = fake_windows(8)
    stats = windows.stats | {STATE: {"mean": np.zeros(5), "std": np.ones(5)}}
    with pytest.raises(ContractError, match=r"statistics of observation\.state"):
        Policy(PolicyConfig(**SMALL), windows.action_contract, windows.observation_contract, stats)
