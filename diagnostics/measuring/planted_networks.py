"""Tiny networks whose wiring is known, and scenes of noise for them: what measures inside networks are tried on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import MASK_TARGET, ActionContract, ObservationContract
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.measuring.inside import Inside, Shown
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.policy import Policy

SIZE, CAMERAS, STATES, WIDTH = 32, ("front", "wrist"), ("x", "y", "opening"), 16


def network(pooling: str, reads: str = "", *, linear: bool = False, seed: int = 0, **options: Any) -> Policy:
    """Returns a network with random weights, whose tokens see nothing beyond their own patches.

    Args:
        pooling: its pooling.
        reads: "images" or "state" cuts the head off from the other; "nothing" from both; "" from none.
        linear: the head is one linear layer.
        seed: of the weights.
        options: of the configuration.
    """
    action = ActionContract(
        mode="eef_delta", names=("dx", "dy", "gripper"), units=("m", "m", "1"), low=(-1.0, -1.0, 0.0),
        high=(1.0, 1.0, 1.0), control_hz=10.0, joint_names=("j1",),
    )
    observation = ObservationContract(tuple((camera, (SIZE, SIZE)) for camera in CAMERAS), STATES)
    small: dict[str, Any] = {"width": WIDTH, "stem": 8, "token_hidden": 16, "hidden": 32, "layers": 1, "chunk": 2}
    config = PolicyConfig(**(small | {"pooling": pooling, "execute": 1, "gripper_gain": 0.0} | options))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        policy = Policy(config, action, observation).eval()
        head = cast("Any", policy.head)
        if linear:
            head.mlp = nn.Sequential(nn.Linear(head.mlp[0].in_features, head.mlp[-1].out_features))
    for layer in (m for m in policy.encoders.modules() if isinstance(m, nn.Conv2d)):
        inner = slice(int(layer.padding[0]), int(layer.padding[0]) + layer.stride[0])
        kept = torch.zeros_like(layer.weight)
        kept[..., inner, inner] = 1.0
        layer.weight.data *= kept
    first = head.mlp[0].weight.data
    images = len(policy.cameras) * WIDTH
    if reads in ("images", "nothing"):
        first[:, images:] = 0.0
    if reads in ("state", "nothing"):
        first[:, :images] = 0.0
    return policy


def scenes(policy: Policy, objects: int = 16, looks: int = 3, *, target: bool = True, seed: int = 0) -> Inside:
    """Returns scenes of noise around a square target at a place, which the target's colour tells as well.

    "table" changes the context and nothing of the target, "object_colour" the target and nothing of the context; each
    has two levels. Squares lie on the encoder's grid.

    Args:
        policy: looks at them.
        objects: one scene each.
        looks: at each scene.
        target: False draws the same target at one place in every scene: only the context differs.
        seed: of all that is drawn.
    """
    rng = episode_rng(seed, 0, "planted scenes")
    n = objects * looks
    which = np.arange(n) // looks
    corners = rng.integers(0, 3, (objects, 2)) * 8 if target else np.full((objects, 2), 8)  # of a 16 x 16 square
    places = corners[which] / SIZE
    level = which % 2 + 1
    ground = rng.integers(0, 60, (objects, 1, 1, 3))[which] + rng.integers(0, 20, (n, SIZE, SIZE, 3))
    colours = 100 + 3 * corners[which] if target else np.full((n, 2), 124)
    masks = np.zeros((n, SIZE, SIZE), dtype=np.uint8)
    for mask, (row, column) in zip(masks, corners[which], strict=True):
        mask[row : row + 16, column : column + 16] = MASK_TARGET

    def shown(table: Indices | int = 0, colour: Indices | int = 0) -> Shown:
        pixels = ground + np.broadcast_to(table, n)[:, None, None, None]
        own = np.concatenate([colours, np.full((n, 1), 200)], axis=1) + np.broadcast_to(colour, n)[:, None]
        pixels = np.where(masks[..., None] == MASK_TARGET, own[:, None, None, :], pixels).astype(np.uint8)
        return Shown(dict.fromkeys(policy.cameras, pixels), dict.fromkeys(policy.cameras, masks), state)

    state = rng.normal(size=(n, len(STATES))).astype(np.float32)
    return Inside(
        policy, {"": shown(), "table": shown(table=80 * level), "object_colour": shown(colour=25 * level)}, shown(),
        [f"object-{i}" for i in which], which, np.arange(n) % looks, places, np.ones(n, dtype=bool),
        {"table": level, "object_colour": level}, name="planted",
    )  # fmt: skip


def code(objects: int = 30, looks: int = 6, size: int = 12, seed: int = 0) -> Mapping[str, Array]:
    """Returns features (n, size) that hold a place (n, 2) as a linear code beside noise, the place, and objects (n,).
    """
    rng = episode_rng(seed, 0, "planted code")
    which = np.repeat(np.arange(objects), looks)
    place = rng.normal(size=(objects, 2))[which]
    noise = rng.normal(size=(len(which), size))
    noise[:, :2] = place
    return {"features": noise @ rng.normal(size=(size, size)), "place": place, "objects": which}
