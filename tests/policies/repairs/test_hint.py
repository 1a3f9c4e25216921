"""Hints: what they say of an episode, which frames they are of, and that a true one helps where noise does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError
from toyshift.policies.batch_keys import HINT_VALID as VALID
from toyshift.policies.batch_keys import HINT_VALUE as VALUE
from toyshift.policies.network.hints import HintReader, hint_loss
from toyshift.policies.repairs.hint import Hint, before_closing, centroid, hints, standardised

NAMES = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
ACTIONS = ("dx", "gripper")


def turned(yaw: float) -> Array:
    """A hand that points down, its closing axis at a yaw."""
    x = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    z = np.array([0.0, 0.0, -1.0])
    return np.stack([x, np.cross(z, x), z], axis=1)


def state_of(place: tuple[float, float, float], yaw: float) -> Array:
    rotation = turned(yaw)
    return np.concatenate([place, rotation[:, 0], rotation[:, 1]]).astype(np.float32)


def meta_of(place: tuple[float, float, float], yaw: float, attempts: int = 1, azimuth: float = 0.0) -> dict[str, Any]:
    pose = np.eye(4)
    pose[:3, 3] = place
    return {
        "attempts": attempts, "object_pose": pose.tolist(), "grasp": {"rotation": turned(yaw).tolist()},
        "factors": {"look": {"azimuth": azimuth}},
    }  # fmt: skip


STARTS = np.array([0, 2, 3])


def test_the_place_is_seen_from_the_hand() -> None:
    state = np.stack([state_of((0.4, 0.0, 0.3), 0.0), state_of((0.4, 0.0, 0.3), np.pi / 2), state_of((0, 0, 0), 0.0)])
    metas = [meta_of((0.5, 0.1, 0.05), 0.0), meta_of((0.1, 0.2, 0.3), 0.0)]
    found = hints("place", state, NAMES, STARTS, metas)
    assert np.allclose(found[0], [0.1, -0.1, 0.25], atol=1e-6)  # x ahead, y against the base's, z down
    assert np.allclose(found[1], [0.1, 0.1, 0.25], atol=1e-6)  # after a quarter turn
    assert np.allclose(found[2], [0.1, -0.2, -0.3], atol=1e-6)


def test_the_turn_is_that_to_the_grasp_and_half_a_turn_is_none() -> None:
    state = np.stack([state_of((0, 0, 0), 0.2)] * 3)
    for yaw in (0.5, 0.5 + np.pi):
        found = hints("turn", state, NAMES, STARTS, [meta_of((0, 0, 0), yaw)] * 2)
        assert np.allclose(found, [[np.sin(0.6), np.cos(0.6)]] * 3, atol=1e-6)


def test_the_azimuth_is_the_cameras() -> None:
    found = hints("azimuth", np.zeros((3, 9)), NAMES, STARTS, [meta_of((0, 0, 0), 0, azimuth=a) for a in (5.0, -3.0)])
    assert found.tolist() == [[5.0], [5.0], [-3.0]]


def test_frames_after_the_first_closing_and_of_several_attempts_do_not_count() -> None:
    action = np.float32([[0, 1], [0, 0], [0, 1], [0, 1], [0, 1]])
    metas = [meta_of((0, 0, 0), 0), meta_of((0, 0, 0), 0, attempts=2)]
    assert before_closing(action, ACTIONS, np.array([0, 3, 5]), metas).tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(FileError, match="no gripper"):
        before_closing(action, ("dx", "dy"), np.array([0, 3, 5]), metas)
    with pytest.raises(FileError, match=r"state entries eef.r11, .*there are opening"):
        hints("place", np.zeros((3, 1)), ("opening",), STARTS, metas)


def test_hints_are_standardised_over_the_frames_that_count() -> None:
    columns = [{VALUE: np.float32([[1], [3], [99]]), VALID: np.float32([1, 1, 0])},
               {VALUE: np.float32([[5]]), VALID: np.float32([1])}]  # fmt: skip
    found = standardised(columns)
    values = np.concatenate([c[VALUE][c[VALID] > 0] for c in found])
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.std() == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(FileError, match="no frame before"):
        standardised([{VALUE: np.zeros((2, 1)), VALID: np.zeros(2)}])


def test_the_centroid_of_a_mask() -> None:
    target = torch.zeros(2, 5, 9)
    target[0, 4, 8] = 1.0
    place, seen = centroid(target)
    assert place[0].tolist() == [1.0, 1.0]
    assert seen.tolist() == [1.0, 0.0]


def test_what_does_not_count_gives_no_gradient() -> None:
    told = torch.zeros(2, 1, requires_grad=True)
    hint_loss(told, torch.tensor([[0.5], [9.0]]), torch.tensor([1.0, 0.0]), torch.ones(2)).backward()
    assert told.grad is not None
    assert told.grad[1].item() == 0.0
    assert told.grad[0].item() == pytest.approx(-0.25)  # Huber's, over both samples


def test_parts_of_a_batch_add_up() -> None:
    rng = torch.Generator().manual_seed(0)
    told, hint = torch.randn(2, 9, 3, generator=rng)
    valid, weight = torch.rand(9, generator=rng).round(), torch.randint(1, 5, (9,), generator=rng).float()
    parts = (slice(0, 4), slice(4, 9))
    each = [hint_loss(told[p], hint[p], valid[p], weight[p]) * weight[p].sum() / weight.sum() for p in parts]
    assert sum(each) == pytest.approx(float(hint_loss(told, hint, valid, weight)), rel=1e-6)


class Learner(nn.Module):
    """Learns y from features of z; with `fed` its head reads the hint that it tells itself."""

    def __init__(self, fed: bool) -> None:
        super().__init__()
        self.fed = fed
        self.trunk = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32 + fed, 32), nn.ReLU(), nn.Linear(32, 1))
        self.hint = HintReader(32, 1)

    def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        features = self.trunk(z)
        told = self.hint(features)
        read = [self.hint.read(told, None)] if self.fed else []
        return self.head(torch.cat([features, *read], dim=1)), told, features


def drawn(seed: int) -> list[torch.Tensor]:
    """400 z, y = x1 x2, x1 and noise; and 2000 z, y and x1 outside."""
    rng = np.random.default_rng(seed)
    mix = np.linalg.qr(rng.standard_normal((12, 12)))[0]

    def some(count: int, reach: float) -> list[Array]:
        x = rng.standard_normal((count, 12))
        x[:, :2] = rng.uniform(-reach, reach, (count, 2))
        return [x @ mix, x[:, :1] * x[:, 1:2], x[:, :1]]

    near, far = some(400, 1.0), some(2000, 1.5)
    return [torch.from_numpy(a.astype(np.float32)) for a in (*near, rng.standard_normal((400, 1)), *far)]


def trained(kind: str, seeds: int = 5) -> Array:
    """Trains a learner for each seed, all at once; returns R2 of a probe of x1 and the error outside (seeds, 2)."""
    z, y, x1, noise, far, far_y, far_x1 = (torch.stack(each) for each in zip(*map(drawn, range(seeds)), strict=True))
    learners = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        learners.append(Learner(kind.startswith("fed")))
    hint = {"none": None, "true": x1 / x1.std(dim=1, keepdim=True), "noise": noise}[kind.removeprefix("fed ")]
    state, _ = torch.func.stack_module_state(learners)  # type: ignore[arg-type]
    run = torch.vmap(lambda parameters, x: torch.func.functional_call(learners[0], parameters, (x,)))
    optimizer = torch.optim.AdamW(state.values(), lr=3e-3)
    for _ in range(400):
        answer, told, _ = run(state, z)
        loss = (answer - y).abs().mean(dim=(1, 2)).sum()
        if hint is not None:
            loss = loss + 0.3 * sum(hint_loss(told[s], hint[s], torch.ones(400), torch.ones(400)) for s in range(seeds))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answer, _, features = run(state, far)
    found = []
    for f, x in zip(features.double().numpy(), far_x1.numpy(), strict=True):
        design = np.c_[f, np.ones(len(f))]
        rest = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
        found.append(1.0 - float(rest.var() / x.var()))
    return np.column_stack([found, (answer - far_y).abs().mean(dim=(1, 2)).numpy()])


def test_a_true_hint_is_told_by_the_features_and_helps_outside_and_noise_does_not() -> None:
    none = trained("none")
    for way in ("", "fed "):
        true, noise = trained(f"{way}true") - none, trained(f"{way}noise") - none
        assert (true[:, 0] > 0).all()  # by 0.02 of 0.97 on average
        assert (true[:, 1] < 0).sum() >= 4
        assert true[:, 1].mean() < -0.02  # of 0.21
        assert noise[:, 0].mean() < 0.0 < noise[:, 1].mean() + 0.005  # it costs rather than helps


def test_two_proposals_answer_what_has_two_answers_and_one_hint_neither() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(400, 1, generator=rng) + 0.5
    side = torch.where(torch.rand(400, 1, generator=rng) < 0.5, -1.0, 1.0)
    every = torch.ones(400)
    off = {}
    for proposals in (0, 2):
        torch.manual_seed(0)
        hint, head = HintReader(1, 1, proposals), nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
        optimizer = torch.optim.AdamW([*hint.parameters(), *head.parameters()], lr=1e-2)
        for _ in range(400):
            told = hint(x)
            read = hint.read(told, hint.explaining(told, side, every) if proposals else None)
            loss = (head(torch.cat([x, read], dim=1)) - side * x).abs().mean() + hint.loss(told, side, every, every)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            told = hint(x)
            chosen = [torch.full((400,), k) for k in range(proposals)] or [None]
            answers = [head(torch.cat([x, hint.read(told, k)], dim=1)) for k in chosen]
            off[proposals] = [min(float((a - sign * x).abs().mean()) for a in answers) for sign in (-1.0, 1.0)]
    assert max(off[2]) < 0.1
    assert min(off[0]) > 0.4


def test_a_grasp_is_its_place_and_its_turn() -> None:
    state = np.stack([state_of((0.4, 0.0, 0.3), np.pi / 2), state_of((0, 0, 0), 0.0), state_of((0, 0, 0), 0.0)])
    metas = [meta_of((9, 9, 9), 0.5), meta_of((0, 0, 0), 0.0)]
    for meta, place in zip(metas, ([0.5, 0.1, 0.05], [0.0, 0.0, 0.0]), strict=True):
        meta["grasp"]["position"] = place
    found = hints("grasp", state, NAMES, STARTS, metas)
    turn = 2 * (0.5 - np.pi / 2)
    assert np.allclose(found[0], [0.1, 0.1, np.sin(turn), np.cos(turn)], atol=1e-6)
    assert np.allclose(found[2], [0, 0, 0, 1], atol=1e-6)


def test_a_miss_must_be_told_by_the_state() -> None:
    contracts = {"observation_contract": SimpleNamespace(state_names=NAMES),
                 "action_contract": SimpleNamespace(names=ACTIONS)}  # fmt: skip
    run: Any = SimpleNamespace(source=SimpleNamespace(windows=SimpleNamespace(**contracts)))
    with pytest.raises(FileError, match=r"'hint\?proposals=4' tells a miss by the state entry gripper\.opening"):
        Hint(proposals=4).begin(run)
