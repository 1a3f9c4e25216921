"""What a tuning added: in which scenes a policy acts otherwise than the one that it was tuned from, and what they share.

After "What's New in My Data?" (contrastive generation): there, what the tuned model finds more likely than the other one
is generated, learnt by the other, and generated again, so that more than the loudest novelty is found. Here scenes are
drawn, those with the largest change of the action are picked, the base policy's head learns the tuned one's actions in
them, and scenes are picked again. Policies of actions have no likelihood, so there is no mask of what is plausible
(recalled, not read). Where demonstrations are given, episodes are ranked by loss of the base minus loss of the tuned.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import require_same_contract, require_same_observations
from toyshift.core.errors import ContractError
from toyshift.core.files import read_json
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.actors import EnvSpec, OracleActor, make_look, open_actor, with_instruction
from toyshift.diagnostics.evaluation import object_of_episode
from toyshift.diagnostics.looks import states_along
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, listed, too_few, undefined
from toyshift.diagnostics.measuring.inside import STILL, encoded, features_at, network_of, observed, shown_of
from toyshift.diagnostics.statistics import Estimate, holm
from toyshift.diagnostics.tables import interval
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.checkpoints import CONFIG_FILE
from toyshift.policies.network.policy import Policy

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "novelty"
UNIT = "of pairs in which a scene with the named value changes more than one without (AUC)"
ROUNDS, SHARE = 8, 0.2  # times that scenes are picked, and how many of all in the end
DEALS, RESAMPLES = 999, 2000
STEPS, RATE = 20, 1e-4  # of Adam, in each round
FRAMES = 8  # of an episode
LEAST = 20  # scenes

Learn = Callable[[Indices], Array]  # scenes picked so far -> (N,) change of the action that is left in every scene


def novelty(
    change: Array, learn: Learn, values: Mapping[str, Sequence[str]], objects: Sequence[str], *, rounds: int = ROUNDS,
    deals: int = DEALS, seed: int = 0, subject: str = "", scenes: str = "scenes",
) -> Finding:
    """Returns what the scenes share in which a tuning changed most.

    Args:
        change: (N,) how far the tuned policy acts from its base.
        learn: what is left of it when the base has learnt some scenes.
        values: factor -> its value in each scene, in words.
        objects: (N,) the target of each scene.
        rounds: times that scenes are picked.
        deals: times that a factor's values are dealt out anew.
        seed: of deals and resampling.
        subject: whose tuning it is.
        scenes: what N things are called.
    """
    count = len(change)
    if count < LEAST or len(set(objects)) < 2:
        why = f"there are {count} {scenes} of {len(set(objects))} objects; it takes {LEAST}, of two"
        return undefined(NAME, UNIT, why, n=count, subject=subject)
    if np.ptp(change) <= 1e-12:
        why = f"both act as far from each other in all {scenes} ({change[0]:.3g})"
        return undefined(NAME, UNIT, why, n=count, subject=subject)
    picked = np.zeros(count, dtype=bool)
    goal, left = max(1, round(SHARE * count)), change
    for i in range(rounds):
        more = round(goal * (i + 1) / rounds) - int(picked.sum())
        picked[np.argsort(np.where(picked, -np.inf, left), kind="stable")[::-1][:more]] = True
        left = learn(np.flatnonzero(picked))
    rank = np.argsort(np.argsort(change, kind="stable"), kind="stable") + 1.0
    rank = np.array([rank[change == x].mean() for x in change])  # ties share their ranks
    number = np.unique(np.asarray(objects), return_inverse=True)[1]
    told = {name: one for name, own in values.items() if len(set(own)) > 1
            for one in [_Factor.of(name, own, number)]}  # fmt: skip
    if not told:
        return undefined(NAME, UNIT, "no factor varies", n=count, subject=subject)
    dealt = {name: one.dealt(picked, rank, deals, seed) for name, one in told.items()}
    own = {name: one.best(one.member, picked, rank) for name, one in told.items()}
    p = [(1 + sum(z >= own[name][1] - 1e-9 for z, _ in dealt[name])) / (1 + deals) for name in told]
    corrected = dict(zip(told, holm(p), strict=True))
    order = sorted(told, key=lambda name: (corrected[name], -own[name][1]))
    named, first = [name for name in order if corrected[name] <= 0.05], order[0]
    best, _, auc = own[first]
    inside = told[first].member[:, best] > 0
    low, high = _interval(change, inside, number, seed)
    lines: list[dict[str, Any]] = [
        {"factor": name, "value": told[name].levels[own[name][0]],
         "of picked": float(told[name].member[picked, own[name][0]].mean()),
         "of all": float(told[name].member[:, own[name][0]].mean()), "AUC": own[name][2], "p (Holm)": corrected[name]}
        for name in order
    ]  # fmt: skip
    words = [f"{name.replace('_', ' ')} {told[name].levels[own[name][0]]}" for name in named]
    few = too_few(len(set(objects)), "objects")
    verdict = f"nothing is shown to be shared by the {scenes} in which the tuning changed most"
    card = ""
    if few:
        verdict = f"too few objects to tell what the tuning added (first {first})"
    elif named:
        verdict = card = f"tuning added: {listed(words)} (AUC {auc:.2f} {interval(low, high)} for the first)"
    caveats = (*few, f"the median change, {float(np.median(change)):.2f}, is a drift in all {scenes} and is left out",
               f"{int(picked.sum())} of {count} {scenes} are picked, in {rounds} rounds")  # fmt: skip
    null = float(np.mean([auc for _, auc in dealt[first]]))
    return Finding(name=NAME, subject=subject, value=Estimate(auc, low, high, count), unit=UNIT, null=null,
                   verdict=verdict, card=card, table=tuple(lines), caveats=caveats)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Factor:
    """A factor's values in N scenes.

    Attributes:
        name: of the factor.
        levels: its values.
        member: (N, L) one-hot.
        owner: (N,) number of the scene's object.
        of_object: whether all scenes of an object have one value: it is dealt out to objects then.
    """

    name: str
    levels: tuple[str, ...]
    member: Array
    owner: Indices
    of_object: bool

    @classmethod
    def of(cls, name: str, values: Sequence[str], owner: Indices) -> _Factor:
        levels, number = np.unique(np.asarray(values), return_inverse=True)
        same = all(len(set(number[owner == o].tolist())) == 1 for o in np.unique(owner))
        return cls(name, tuple(levels.tolist()), np.eye(len(levels))[number], owner, same)

    def best(self, member: Array, picked: Array, rank: Array) -> tuple[int, float, float]:
        """Returns the value that the picked scenes have most beyond its share, by how many deviations, and its AUC."""
        n, k = len(picked), int(picked.sum())
        size = member.sum(axis=0)
        share = size / n
        spread = np.sqrt(np.maximum(k * share * (1 - share) * (n - k) / max(1, n - 1), 1e-12))
        z = (member[picked].sum(axis=0) - k * share) / spread
        z = np.where((size > 1) & (size < n), z, -np.inf)  # one scene tells of no value
        best = int(np.argmax(z))
        pairs = size[best] * (n - size[best])
        auc = (rank @ member[:, best] - size[best] * (size[best] + 1) / 2) / pairs if pairs else math.nan
        return best, float(z[best]), float(auc)

    def dealt(self, picked: Array, rank: Array, deals: int, seed: int) -> list[tuple[float, float]]:
        """Returns deviations and AUC where values are dealt out anew, to scenes or whole objects."""
        rng = episode_rng(seed, 0, f"novelty {self.name}")
        out = []
        for _ in range(deals):
            if self.of_object:
                first = np.unique(self.owner, return_index=True)[1]
                member = self.member[first][rng.permutation(len(first))][self.owner]
            else:
                member = self.member[rng.permutation(len(self.member))]
            out.append(self.best(member, picked, rank)[1:])
        return out


def _interval(change: Array, inside: NDArray[np.bool_], owner: Indices, seed: int) -> tuple[float, float]:
    """Returns the bootstrap interval of an AUC, over objects."""
    count = int(owner.max()) + 1
    first, second = np.eye(count)[owner[inside]], np.eye(count)[owner[~inside]]  # (n, O), (m, O)
    more = np.sign(change[inside][:, None] - change[~inside][None])
    wins = first.T @ (0.5 + 0.5 * more) @ second  # (O, O) pairs that are right
    drawn = episode_rng(seed, 1, NAME).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    pairs = (drawn @ first.sum(axis=0)) * (drawn @ second.sum(axis=0))
    right = ((drawn @ wins) * drawn).sum(axis=1)
    if not (pairs > 0).any():
        return math.nan, math.nan
    low, high = np.quantile(right[pairs > 0] / pairs[pairs > 0], (0.025, 0.975))
    return float(low), float(high)


# ---------------------------------------------------------------- of two policies


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


def scenes_of(asked: Asked, policies: Sequence[Policy]) -> tuple[list[Any], dict[str, list[str]], list[str]]:
    """Renders states along the expert's episodes, each under a look of its own, for two networks.

    Returns:
        what each network is shown, factor -> value in each scene, and the target of each.
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
                x, y = place.object_position()[:2]
                drawn.append({**look, "x of the target": float(x), "y of the target": float(y)})
                targets.append(object_id)
    finally:
        world.close()
    names = {object_id: objects.by_id(object_id).name for object_id in set(targets)}
    values = {
        name: thirds([one[name] for one in drawn], " m" if "target" in name else "")
        if isinstance(drawn[0][name], float) else [str(one[name]) for one in drawn]
        for name in drawn[0]
    } | {"object": [names[target] for target in targets]}  # fmt: skip
    return [shown_of(views, one.cameras) for views, one in zip(seen, acting, strict=True)], values, targets


def of_scenes(asked: Asked, base: Policy, tuned: Policy, subject: str) -> Finding:
    """Returns the finding of drawn scenes."""
    shown, values, targets = scenes_of(asked, (base, tuned))
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
    return novelty(change, student.learn, values, targets, seed=asked.seed, subject=subject)


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
    tuned, base = network_of(asked.policy), network_of(place) if place else "which policy it was tuned from is not told"
    for found, who in ((tuned, asked.policy), (base, place or asked.policy)):
        if isinstance(found, str):
            why = found if place else f"{found}: give --base"
            return Findings((undefined(NAME, UNIT, why, subject=who),))
    base, tuned = cast("Policy", base), cast("Policy", tuned)
    subject = f"{Path(asked.policy).name} after {Path(place).name}"
    try:
        require_same_contract(base.action_contract, tuned.action_contract, place, asked.policy)
        require_same_observations(base.observation_contract, tuned.observation_contract, place, asked.policy)
    except ContractError as error:
        return Findings((undefined(NAME, UNIT, str(error), subject=subject),))
    if not base.cameras or not tuned.cameras:
        return Findings((undefined(NAME, UNIT, "a network looks through no camera", subject=subject),))
    found = [of_scenes(asked, base, tuned, subject)]
    if asked.trained_on:
        shown = demonstrations_of(asked, tuned)
        told = undefined(NAME, UNIT, shown, subject=f"{subject}, episodes") if isinstance(shown, str) else None
        found.append(told or of_episodes(cast("Demonstrations", shown), base, tuned, asked.seed, subject))
    return Findings(tuple(found))
