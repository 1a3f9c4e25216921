"""A policy beside the one that it was tuned from: what both are shown, and what `novelty` says of it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import require_same_contract, require_same_observations
from toyshift.core.errors import ContractError
from toyshift.core.files import read_json
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng, object_of_episode
from toyshift.diagnostics.actors import EnvSpec, OracleActor, make_look, open_actor, with_instruction
from toyshift.diagnostics.looks import states_along
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, undefined
from toyshift.diagnostics.measuring.inside import STILL, encoded, features_at, network_of, observed, shown_of
from toyshift.diagnostics.measuring.novelty import NAME, UNIT, novelty
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.checkpoints import CONFIG_FILE
from toyshift.policies.network.policy import Policy

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

STEPS, RATE = 20, 1e-4  # of Adam, in each round
FRAMES = 8  # of an episode


def thirds(numbers: Sequence[float], unit: str = "") -> list[str]:
    """Returns for each number the third of all that it lies in, in words."""
    x = np.asarray(numbers, np.float64)
    edges = np.quantile(x, (0, 1 / 3, 2 / 3, 1))
    number = np.clip(np.searchsorted(edges[1:-1], x, side="right"), 0, 2)
    return [f"{edges[i]:.3g} to {edges[i + 1]:.3g}{unit}" for i in number.tolist()]


def base_of(asked: Asked) -> str:
    """Returns the folder that a policy was tuned from: that of `--base`, or what its folder says; "" for none."""
    if asked.base:
        return asked.base
    config = Path(asked.policy) / CONFIG_FILE
    told = read_json(config).get("train") or {} if config.is_file() else {}
    return str(told.get("init_from", ""))


@dataclasses.dataclass
class Student:
    """A copy of the base whose head learns the tuned policy's actions.

    Args:
        base: features come from it, and are not changed.
        features: (N, F) of it, in every scene.
        state: (N, S).
        right: (N, K * A) what the tuned policy does, in its standard deviations.
        std: (A,) those.
    """

    base: Policy
    features: torch.Tensor
    state: torch.Tensor
    right: torch.Tensor
    std: torch.Tensor

    def __post_init__(self) -> None:
        self.base = copy.deepcopy(self.base)
        self._learning = torch.optim.Adam(self.base.head.parameters(), lr=RATE)

    def acts(self) -> torch.Tensor:
        chunk = self.base.decide(self.features.unsqueeze(1), self.state)
        return (chunk / self.std).flatten(1)

    def change(self) -> Array:
        """Returns the mean absolute difference in every scene (N,)."""
        with torch.no_grad():
            return np.asarray((self.acts() - self.right).abs().mean(dim=1).numpy(), dtype=np.float64)

    def learn(self, picked: Indices) -> Array:
        at = torch.from_numpy(picked)
        for _ in range(STEPS):
            self._learning.zero_grad()
            (self.acts()[at] - self.right[at]).abs().mean().backward()  # type: ignore[no-untyped-call]
            self._learning.step()
        return self.change()


def scenes_of(asked: Asked, policies: Sequence[Policy]) -> tuple[list[Any], dict[str, list[str]], list[str], list[int]]:
    """Renders states along the expert's episodes, each under a look of its own, for two networks.

    Returns:
        what each network is shown, factor -> value in each scene, the target of each, and its episode. The place of the
        target is the one at the episode's first state.
    """
    from toyshift.data.collecting.factors import FACTORS as SPANS
    from toyshift.data.grasping.choose import make_expert
    from toyshift.envs.shifts import FACTORS
    from toyshift.toys import load_objects

    objects, (_, world) = load_objects(asked.objects), open_actor(asked.policy, asked.objects, EnvSpec())
    acting = [TorchPolicy(NAME, policy) for policy in policies]
    seen: list[list[Any]] = [[] for _ in policies]
    drawn: list[dict[str, Any]] = []
    targets: list[str] = []
    episodes: list[int] = []
    x = y = 0.0
    try:
        place: Any = world
        expert = OracleActor(make_expert(cast("Any", world)))
        for scene in track(range(asked.scenes), "scenes of two policies", unit="scene"):
            object_id, _ = object_of_episode(objects.ids, asked.seed, scene)
            for at, (state, _) in enumerate(states_along(expert, world, object_id, scene, asked.seed, asked.looks)):
                world.load_sim_state(object_id, state)
                rng = episode_rng(asked.seed, scene * 1000 + at, "drawn look")
                look = {name: int(rng.integers(SPANS[name].count)) if SPANS[name].count
                        else float(rng.uniform(SPANS[name].low, SPANS[name].high)) for name in FACTORS}  # fmt: skip
                world.set_look(make_look(look))
                observation = with_instruction(world.observe(), world)
                for views, one in zip(seen, acting, strict=True):
                    views.append(observed(one, observation))
                if at == 0:
                    x, y = map(float, place.object_position()[:2])
                drawn.append({**look, "x of the target": x, "y of the target": y})
                targets.append(object_id)
                episodes.append(scene)
    finally:
        world.close()
    names = {object_id: objects.by_id(object_id).name for object_id in set(targets)}
    values = {
        name: thirds([one[name] for one in drawn], " m" if "target" in name else "")
        if isinstance(drawn[0][name], float) else [str(one[name]) for one in drawn]
        for name in drawn[0]
    } | {"object": [names[target] for target in targets]}  # fmt: skip
    shown = [shown_of(views, one.cameras) for views, one in zip(seen, acting, strict=True)]
    return shown, values, targets, episodes


def of_scenes(asked: Asked, base: Policy, tuned: Policy, subject: str) -> Finding:
    """Returns the finding of drawn scenes."""
    shown, values, targets, episodes = scenes_of(asked, (base, tuned))
    std = tuned.normalise_action.std
    inner = [encoded(policy, one) for policy, one in zip((base, tuned), shown, strict=True)]
    # copies: what was made without gradients cannot be learnt from
    features = [features_at(policy, one).clone() for policy, one in zip((base, tuned), inner, strict=True)]
    state = inner[0].state.clone()
    with torch.no_grad():
        right = (tuned.decide(features[1].unsqueeze(1), state) / std).flatten(1)
    student = Student(base, features[0], state, right, std)
    change = student.change()
    if change.max() < STILL:
        why = f"both policies act alike: no action differs by more than {change.max():.3g} standard deviations"
        return undefined(NAME, UNIT, why, n=len(change), subject=subject)
    return novelty(change, student.learn, values, targets, episodes=episodes, seed=asked.seed, subject=subject)


def of_episodes(shown: Demonstrations, base: Policy, tuned: Policy, seed: int, subject: str) -> Finding:
    """Returns the finding of demonstrations: base's loss minus tuned's loss of each episode."""
    episodes = shown.some(200)
    change = []
    with torch.no_grad():
        for episode in track(episodes, "losses of two policies", unit="episode"):
            batch = shown.batch(shown.frames(int(episode), FRAMES))
            change.append(float((base.losses(batch) - tuned.losses(batch)).mean()))
    metas = [shown.metas[e] for e in episodes]
    looks = [meta.get("factors", {}).get("look", {}) for meta in metas]
    values = {name: [one[name] for one in looks] for name in looks[0] if all(name in one for one in looks)}
    told = {name: thirds(own) if isinstance(own[0], float) and len(set(own)) > 3 else [str(v) for v in own]
            for name, own in values.items()}  # fmt: skip
    told["dataset"] = [shown.names[d] for d in shown.dataset[episodes]]
    told["task"] = [str(meta.get("task", "")) for meta in metas]
    if all(meta.get("object_pose") for meta in metas):
        for axis, name in enumerate("xy"):
            told[f"{name} of the target"] = thirds([meta["object_pose"][axis][3] for meta in metas], " m")
    left = np.asarray(change)

    def learnt(picked: Indices) -> Array:  # nothing is trained: the next ones come next
        return np.asarray(np.where(np.isin(np.arange(len(left)), picked), -np.inf, left))

    targets = [str(meta.get("object_id", i)) for i, meta in enumerate(metas)]
    return novelty(left, learnt, told, targets, seed=seed, subject=f"{subject}, episodes", scenes="episodes")


def novelty_of(asked: Asked) -> Findings:
    """Answers for a policy's folder and that of the policy it was tuned from."""
    place = base_of(asked)
    if place and not asked.base and not Path(place).is_dir():
        why = f"{place}, which it was tuned from, is no folder here: give --base"
        return Findings((undefined(NAME, UNIT, why, subject=asked.policy),))
    untold = "which policy it was tuned from is not told: give --base"
    tuned, base = network_of(asked.policy), network_of(place) if place else untold
    for found, who in ((tuned, asked.policy), (base, place or asked.policy)):
        if isinstance(found, str):
            return Findings((undefined(NAME, UNIT, found, subject=who),))
    base, tuned = cast("Policy", base), cast("Policy", tuned)
    subject = f"{Path(asked.policy).name} after {Path(place).name}"
    try:
        require_same_contract(base.action_contract, tuned.action_contract, place, asked.policy)
        require_same_observations(base.observation_contract, tuned.observation_contract, place, asked.policy)
    except ContractError as error:
        return Findings((undefined(NAME, UNIT, str(error), subject=subject),))
    if not base.cameras or not tuned.cameras:
        return Findings((undefined(NAME, UNIT, "a network looks through no camera", subject=subject),))
    answers = [of_scenes(asked, base, tuned, subject)]
    if asked.trained_on:
        shown = demonstrations_of(asked, tuned)
        told = undefined(NAME, UNIT, shown, subject=f"{subject}, episodes") if isinstance(shown, str) else None
        answers.append(told or of_episodes(cast("Demonstrations", shown), base, tuned, asked.seed, subject))
    return Findings(tuple(answers))
