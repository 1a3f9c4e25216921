"""Proposals in acting: a hand that closed on nothing is followed by another one, in each episode by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import STATE, ActionContract, ObservationContract
from toyshift.core.errors import ContractError
from toyshift.core.files import write_json
from toyshift.policies import PolicyConfig, checkpoints, export, load_policy
from toyshift.policies.act.bundle_format import PROPOSAL, TRIED, read_golden
from toyshift.policies.act.proposals import Proposals
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.network.policy import Policy

OPEN, SHUT, HELD = 1.0, 0.0, 0.3
ACTION = ActionContract(
    mode="eef_delta", names=("dx", "dy", "gripper"), units=("m", "m", "1"), low=(-1.0, -1.0, 0.0),
    high=(1.0, 1.0, 1.0), control_hz=10.0, joint_names=("j1",),
)  # fmt: skip
SEEN = ObservationContract((("front", (32, 32)),), ("x", "gripper.opening"))


def states(*openings: float) -> Any:
    return np.float32([[0.0, opening] for opening in openings])


def test_what_closed_on_nothing_is_not_tried_again_until_all_were() -> None:
    proposals = Proposals(2, SEEN.state_names)
    assert not proposals.tried(states(OPEN, OPEN)).any()
    proposals.took(np.array([1, 0]))
    assert proposals.tried(states(SHUT, HELD)).tolist() == [[False, True], [False, False]]
    proposals.took(np.array([0, 0]))
    assert proposals.tried(states(SHUT, SHUT)).tolist() == [[False, True], [True, False]]  # the first is shut still
    proposals.took(np.array([0, 1]))
    assert proposals.tried(states(OPEN, OPEN)).tolist() == [[False, True], [True, False]]
    proposals.took(np.array([0, 1]))
    assert proposals.tried(states(SHUT, OPEN)).tolist() == [[False, False], [True, False]]  # the first tried all
    assert not proposals.tried(states(SHUT)).any()  # another number of episodes: new ones, which begin shut
    with pytest.raises(ContractError, match=r"needs the state entry gripper\.opening"):
        Proposals(2, ("x",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained policy whose four proposals lie apart; the likeliest are 0, 1, 2 and 3."""
    out = tmp_path_factory.mktemp("proposals") / "run"
    config = PolicyConfig(width=16, stem=16, hidden=32, chunk=4, execute=2, blind=True, hint="grasp", proposals=4)
    torch.manual_seed(0)
    policy = Policy(config, ACTION, SEEN)
    assert policy.hint is not None
    with torch.no_grad():
        policy.hint.told.weight.mul_(0.01)
        policy.hint.told.bias.view(4, -1)[:, -1] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    checkpoints.write_contracts(out, ACTION, SEEN)
    write_json(out / checkpoints.CONFIG_FILE, {"policy": config.to_json(), "manifest": {"git": None}})
    checkpoints.save_checkpoint(out, 0, {checkpoints.MODEL: policy.state_dict()}, finished=True, extra={})
    return out


def played(policy: Any, *openings: float) -> list[Any]:
    pixels = {"front": np.zeros((32, 32, 3), np.uint8)}
    return [policy.act({"pixels": pixels, "masks": {}, "agent_pos": one}) for one in states(*openings)]


def test_a_miss_is_followed_by_another_idea(folder: Path) -> None:
    policy = load_policy(folder)
    first = played(policy, OPEN, HELD, OPEN)
    assert np.array_equal(first[0], first[2])  # what is held is no miss
    policy.reset()
    looks = played(policy, *[OPEN, SHUT] * 4, OPEN)[::2]
    assert np.array_equal(looks[0], first[0])
    assert all(not np.allclose(a, b, atol=1e-3) for i, a in enumerate(looks[:4]) for b in looks[:i])
    assert np.array_equal(looks[4], looks[0])  # all four were tried
    policy.reset()
    assert np.array_equal(played(policy, OPEN)[0], first[0])  # an episode knows nothing of the one before


def test_episodes_of_a_batch_have_their_own(folder: Path) -> None:
    policy = load_policy(folder)
    assert isinstance(policy, TorchPolicy)
    images = {"front": np.zeros((2, 32, 32, 3), np.uint8)}
    looks = ((OPEN, OPEN), (SHUT, HELD), (OPEN, OPEN))
    before, _, after = (policy.predict(images, {}, states(*pair)) for pair in looks)
    assert not np.allclose(before[0], after[0], atol=1e-3)
    assert np.array_equal(before[1], after[1])


@pytest.mark.usefixtures("one_table_of_operators")
def test_a_bundle_takes_the_next_one_too(folder: Path, tmp_path: Path) -> None:
    bundle = export(folder, tmp_path / "bundle")  # which verifies itself
    inputs, outputs = read_golden(bundle)
    assert inputs[TRIED].sum(axis=1).tolist() == [0, 1, 2, 3, 4, 0]
    assert outputs[PROPOSAL].tolist() == [0, 1, 2, 3, 0, 0]
    ours, theirs = load_policy(folder), load_policy(bundle)
    openings = [OPEN, SHUT] * 5
    for a, b in zip(played(ours, *openings), played(theirs, *openings), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert theirs.contract["inputs"][TRIED]["shape"] == ["batch", 4]  # type: ignore[attr-defined]


def test_no_error_of_the_actions_trains_the_hint(folder: Path) -> None:
    from toyshift.policies.network.weights import load_network

    policy = load_network(folder).train()
    batch = {
        STATE: torch.zeros(3, 1, 2), "action": torch.ones(3, 4, 3), "action_is_pad": torch.zeros(3, 4, dtype=torch.bool)
    }
    policy(batch)["loss"].backward()
    assert policy.hint is not None
    assert policy.hint.told.weight.grad is None
    assert policy.hidden_view.grad is not None
