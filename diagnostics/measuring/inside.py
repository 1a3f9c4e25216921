"""What measures that look inside a network share: the network of a folder, paired scenes as it is shown them, and runs
of its parts.

The scenes are those of `sensitivity.py`: states along the expert's episodes, rendered unchanged and with one factor of
the look changed. They are rendered once for all measures of one policy. A policy with a history sees every look as the
first of an episode, and heads that start from noise start from zeros.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.files import json_hash
from toyshift.core.progress import track
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Job, play
from toyshift.core.world import World
from toyshift.diagnostics.actors import (
    Actor,
    EnvSpec,
    OracleActor,
    make_look,
    open_actor,
    policy_fingerprint,
    with_instruction,
)
from toyshift.diagnostics.looks import evenly, states_along
from toyshift.diagnostics.sensitivity import SensitivityConfig, config_of
from toyshift.policies.checkpoints import STATE_FILE
from toyshift.policies.network.outputs import outputs_of
from toyshift.policies.network.policy import Policy
from toyshift.policies.network.views import SeenView, patch_coverage, prepare, target_pixels
from toyshift.policies.network.weights import load_network
from toyshift.policies.remote.options import is_remote

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

AGAIN = "again"
BEHIND_A_SERVER = "the policy is behind a server; only the network of a trained folder can be looked into"
EXPORTED = "an exported bundle does not show its network; name the trained folder"
BATCH = 64
STILL = 0.02  # [standard deviations] root mean square of a change of the action that counts as none


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a network is shown in N looks.

    Attributes:
        images: camera -> (N, H, W, 3) uint8.
        masks: camera -> (N, H, W) uint8 labels, also for a network that needs none.
        state: (N, S) float32.
        instruction: as `Policy.tell` takes it (N, ...); None for a network that is told nothing.
    """

    images: Mapping[str, NDArray[np.uint8]]
    masks: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    instruction: NDArray[Any] | None = None


@dataclasses.dataclass(frozen=True)
class Inside:
    """A network and the looks at paired scenes.

    Attributes:
        policy: the network.
        shown: "" -> the looks unchanged, factor -> the same looks with that factor changed.
        again: the looks unchanged, drawn a second time.
        objects: (N,) the target of each look.
        scenes: (N,) the scene of each look.
        looks: (N,) which look at its scene it is, from 0 on.
        places: (N, 2) where the target lies on the table [m].
        free: (N,) whether nothing has touched the target yet.
        levels: factor -> (N,) the level that it was changed to, from 1 on.
        right: (N, K * A) what the expert does from each look on, in standard deviations of the training actions; nan
            where its episode ends before. None where nobody noted it.
        name: of the policy.
    """

    policy: Policy
    shown: Mapping[str, Shown]
    again: Shown
    objects: Sequence[str]
    scenes: Indices
    looks: Indices
    places: Array
    free: NDArray[np.bool_]
    levels: Mapping[str, Indices]
    right: Array | None = None
    name: str = ""

    @property
    def factors(self) -> tuple[str, ...]:
        """Those that are changed."""
        return tuple(name for name in self.shown if name)


def network_of(policy: str) -> Policy | str:
    """Returns the network of a policy's folder, with the weights that act, or why there is none to look into."""
    if is_remote(policy):
        return BEHIND_A_SERVER
    return load_network(Path(policy)) if (Path(policy) / STATE_FILE).is_file() else EXPORTED


def inside_of(asked: Asked) -> Inside | str:
    """Returns the network of a policy's folder and paired scenes, or why it cannot be looked into."""
    return inside_with(asked, asked.objects)


def inside_with(asked: Asked, objects: str, *, changed: bool = True) -> Inside | str:
    """Returns what `inside_of` does, with another object set; `changed`: under changed factors, too."""
    if is_remote(asked.policy):
        return BEHIND_A_SERVER
    of = (policy_fingerprint(asked.policy), objects, asked.scenes, asked.looks, asked.seed, changed,
          json_hash(asked.base_look))  # fmt: skip
    if of not in _kept:
        while len(_kept) > 1:  # the scenes of all measures, and those of the training objects
            _kept.pop(next(iter(_kept)))
        _kept[of] = _inside_of(asked, objects, changed)
    return _kept[of]


_kept: dict[tuple[object, ...], Inside | str] = {}  # of this process


def _inside_of(asked: Asked, objects: str, changed: bool) -> Inside | str:
    from toyshift.policies import load_policy
    from toyshift.toys import load_objects

    acting: Any = load_policy(Path(asked.policy), "cpu")
    if not isinstance(getattr(acting, "policy", None), Policy):
        return EXPORTED
    config = config_of(asked)
    config = config if changed else dataclasses.replace(config, factors={})
    work = functools.partial(_look_at, tuple(load_objects(objects).ids), config)
    key = json_hash(["inside", policy_fingerprint(asked.policy), objects])
    job = Job(key, functools.partial(_opened, asked.policy, objects), work, f"looking inside {asked.policy}")
    with asked.playing() as pool:
        every = track(play(range(asked.scenes), job, pool=pool), f"inside {acting.name}", asked.scenes, "scene")
        return _put_together(acting, sorted(every, key=lambda seen: seen.scene), config)


@contextlib.contextmanager
def _opened(policy: str, objects: str) -> Iterator[tuple[Any, Noted, Any]]:
    from toyshift.data.grasping.choose import make_expert

    actor, world = open_actor(policy, objects, EnvSpec())
    try:
        yield cast("Any", actor).policy, Noted(OracleActor(make_expert(cast("Any", world)))), world
    finally:
        world.close()


class Noted:
    """The expert, whose actions are kept.

    Args:
        expert: acts.
    """

    name, pooling = "noted", ""

    def __init__(self, expert: Actor) -> None:
        self._expert = expert
        self.ious: list[float] = []
        self.actions_of_episode: list[Float32] = []

    def reset(self, env: World, seed: int, episode: int) -> None:
        self.actions_of_episode = []
        self._expert.reset(env, seed, episode)

    def actions(self, env: World) -> Float32:
        acted = self._expert.actions(env)
        self.actions_of_episode += [*acted]
        return acted

    def chunks(self, looks: int, policy: Policy) -> list[Array]:
        """Returns what was done (K * A,) from each of `states_along`'s states on, see `Inside.right`."""
        contract, steps = policy.action_contract, policy.config.chunk
        done = np.full((len(self.actions_of_episode) + steps, contract.size), np.nan)
        if self.actions_of_episode:
            done[:-steps] = np.clip(self.actions_of_episode, contract.low, contract.high)
        scaled = done / policy.normalise_action.std.cpu().numpy()
        return [scaled[i : i + steps].ravel() for i in evenly(max(1, len(done) - steps), looks)]


@dataclasses.dataclass(frozen=True)
class _Scene:
    """What was seen in one scene.

    Attributes:
        scene: its number.
        object_id: its target.
        places: of each look, (2,) where the target lies [m].
        free: of each look, whether nothing has touched the target yet.
        seen: name of a change -> what each look showed, as of `observed`.
        right: of each look, as of `Inside.right`.
    """

    scene: int
    object_id: str
    places: Sequence[Array]
    free: Sequence[bool]
    seen: Mapping[str, Sequence[tuple[Any, Mapping[str, Any]]]]
    right: Sequence[Array]


def _look_at(ids: Sequence[str], config: SensitivityConfig, opened: tuple[Any, Noted, Any], scene: int) -> _Scene:
    """Renders the looks of a scene as `measure_sensitivity` does, and keeps them."""
    acting, noted, world = opened
    object_id, _ = object_of_episode(ids, config.seed, scene)
    seen: dict[str, list[tuple[Any, Mapping[str, Any]]]] = {name: [] for name in ("", AGAIN, *config.factors)}
    places: list[Array] = []
    states = states_along(noted, world, object_id, scene, config.seed, config.looks)
    base = config.base
    levels = {name: {**base, name: some[scene % len(some)]} for name, some in config.factors.items()}
    for state, _ in states:
        world.load_sim_state(object_id, state)
        places.append(world.object_position()[:2])
        for name, look in {"": base, **levels, AGAIN: base}.items():
            world.set_look(make_look(look))
            seen[name].append(observed(acting, with_instruction(world.observe(), world)))
    right = noted.chunks(config.looks, acting.policy)
    return _Scene(scene, object_id, places, [free for _, free in states], seen, right)


def _put_together(acting: Any, found: Sequence[_Scene], config: SensitivityConfig) -> Inside:
    """Returns the looks of all scenes, in order."""
    count = [len(one.places) for one in found]
    scenes = np.repeat([one.scene for one in found], count)
    shown = {
        name: shown_of([view for one in found for view in one.seen[name]], acting.cameras) for name in found[0].seen
    }
    return Inside(
        acting.policy, {name: views for name, views in shown.items() if name != AGAIN}, shown[AGAIN],
        list(itertools.chain.from_iterable([one.object_id] * len(one.places) for one in found)), scenes,
        np.concatenate([np.arange(n) for n in count]), np.concatenate([one.places for one in found]),
        np.concatenate([one.free for one in found]),
        {name: scenes % len(levels) + 1 for name, levels in config.factors.items()},
        np.concatenate([one.right for one in found]), acting.name,
    )  # fmt: skip


def observed(acting: Any, observation: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Returns what a policy is shown of an observation, and the masks of its cameras, also where it needs none."""
    masks = observation.get("masks", {})
    return acting.inputs(observation), {camera: masks[camera] for camera in acting.cameras}


def shown_of(seen: Sequence[tuple[Any, Mapping[str, Any]]], cameras: Sequence[str]) -> Shown:
    """Puts what `observed` gave of N looks together."""
    told = [inputs.instruction for inputs, _ in seen if inputs.instruction is not None]
    return Shown(
        {camera: np.concatenate([inputs.images[camera] for inputs, _ in seen]) for camera in cameras},
        {camera: np.stack([masks[camera] for _, masks in seen]) for camera in cameras},
        np.concatenate([inputs.state for inputs, _ in seen]),
        np.concatenate(told) if told else None,
    )


# ---------------------------------------------------------------- runs of a network's parts


@dataclasses.dataclass(frozen=True)
class Inner:
    """What a network makes of N looks before it pools: the paths by which they reach its action.

    Attributes:
        seen: camera -> its tokens.
        target: camera -> (N, tokens) bool, those that show the target.
        state: (N, S).
        instruction: as of `Shown`.
    """

    seen: Mapping[str, SeenView]
    target: Mapping[str, Tensor]
    state: Tensor
    instruction: Tensor | None

    def __len__(self) -> int:
        return len(self.state)

    def take(self, index: Indices) -> Inner:
        """Returns these looks."""
        at = torch.from_numpy(np.asarray(index, dtype=np.int64))

        def taken(x: Tensor) -> Tensor:
            return x[at] if len(x) == len(self) else x  # coverage (1, 1) stands for all looks

        seen = {c: SeenView(v.tokens[at], taken(v.coverage), None if v.place is None else v.place[at])
                for c, v in self.seen.items()}  # fmt: skip
        told = None if self.instruction is None else self.instruction[at]
        return Inner(seen, {c: x[at] for c, x in self.target.items()}, self.state[at], told)


@torch.inference_mode()
def encoded(policy: Policy, shown: Shown) -> Inner:
    """Returns the tokens of looks, batch by batch."""
    return joined([_encoded(policy, shown, slice(i, i + BATCH)) for i in range(0, len(shown.state), BATCH)])


def joined(parts: Sequence[Inner]) -> Inner:
    """Puts looks of one network together."""

    def views(camera: str) -> SeenView:
        seen = [part.seen[camera] for part in parts]
        whole = seen[0].coverage.shape == (1, 1)  # stands for all looks
        coverage = seen[0].coverage if whole else torch.cat([view.coverage for view in seen])
        places = [view.place for view in seen if view.place is not None]
        return SeenView(torch.cat([view.tokens for view in seen]), coverage, torch.cat(places) if places else None)

    told = [part.instruction for part in parts if part.instruction is not None]
    return Inner(
        {camera: views(camera) for camera in parts[0].seen},
        {camera: torch.cat([part.target[camera] for part in parts]) for camera in parts[0].target},
        torch.cat([part.state for part in parts]), torch.cat(told) if told else None,
    )  # fmt: skip


def _encoded(policy: Policy, shown: Shown, rows: slice) -> Inner:
    images, masks = (
        {camera: torch.from_numpy(views[camera][rows]) for camera in policy.cameras}
        for views in (shown.images, shown.masks)
    )
    seen = {camera: policy.see(camera, images, masks) for camera in policy.cameras}
    target = {}
    for camera in policy.cameras:
        encoder = policy.encoder_of(camera)
        # by its pixels, also where the network's own mask is a box or none at all
        _, pixels, _ = prepare(images[camera], target_pixels(masks[camera]), "mean", encoder.size)
        assert pixels is not None
        target[camera] = patch_coverage(pixels, encoder.patch) > 0
        if policy.config.pooling_part.on_target:
            target[camera] = target[camera] | (seen[camera].coverage > 0)
    told = None if shown.instruction is None else torch.from_numpy(shown.instruction[rows])
    return Inner(seen, target, torch.from_numpy(shown.state[rows]), told)


@torch.inference_mode()
def features_at(policy: Policy, inner: Inner) -> Tensor:
    """Returns the features (N, F) that the head (or the transformer over the history) reads."""
    told = policy.tell(inner.instruction)
    return policy.features(policy.pool_seen(inner.seen, told), policy.normalise_state(inner.state), told)


@torch.inference_mode()
def actions_of(policy: Policy, features: Tensor, state: Tensor) -> Array:
    """Returns the actions (N, K * A) of features, in standard deviations of the training actions, not clipped."""
    chunks = policy.decide(features.unsqueeze(1), state) / policy.normalise_action.std
    return np.asarray(chunks.flatten(1).numpy(), dtype=np.float64)


def acted(policy: Policy, inner: Inner) -> Array:
    """Returns the actions (N, K * A) of looks, see `actions_of`."""
    return actions_of(policy, features_at(policy, inner), inner.state)


@torch.inference_mode()
def layers_of(policy: Policy, inner: Inner) -> dict[str, Array]:
    """Returns what each layer makes of looks, (N, D): the mean token of each view, pooled views, features, hidden
    layers.
    """
    told = policy.tell(inner.instruction)
    pooled = policy.pool_seen(inner.seen, told)
    features = policy.features(pooled, policy.normalise_state(inner.state), told)
    hidden: dict[str, nn.Module] = {} if policy.history is None else {"history": policy.history}
    between = [m for m in cast("Any", policy.head).mlp if not isinstance(m, nn.Linear)]
    hidden |= {f"head {i}": module for i, module in enumerate(between, 1)}
    with outputs_of(hidden) as kept:
        policy.decide(features.unsqueeze(1), inner.state)
    layers = {"features": features, **kept}
    if policy.cameras:
        tokens = torch.cat([inner.seen[camera].tokens.mean(dim=1) for camera in policy.cameras], dim=1)
        layers = {"tokens": tokens, "pooled": pooled.flatten(1), **layers}
    return {name: np.asarray(x.flatten(1).float().numpy(), dtype=np.float64) for name, x in layers.items()}
