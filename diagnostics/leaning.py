"""What a policy leans on: how far its actions move with one irrelevant factor, against how far with its target.

A scene is rendered twice with exactly one factor changed. The *shift* is the mean absolute difference of the two
predicted action chunks, each action entry divided by its standard deviation over the policy's training actions (or,
where a policy does not tell it, over the chunks it predicts for the unchanged scenes). So the unit is "standard
deviations of an action". The *ratio* divides the shift by the one that the target's move of 5 cm causes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.actors import EnvSpec, FolderActor, action_std, make_look, open_actor, with_instruction
from toyshift.diagnostics.evaluation import object_of_episode
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean, bootstrap_ratio

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

# Several levels a factor: scenes take turns, so that one odd texture does not decide.
DEFAULT_FACTORS: dict[str, tuple[Any, ...]] = {
    "table": (1, 2, 3),
    "background": (1, 2, 3),
    "azimuth": (-15.0, 15.0),
    "light": (0.5, 1.6),
    "object_colour": (1, 2, 3),
}

Predict = Callable[[Any], NDArray[np.floating[Any]]]


@dataclasses.dataclass(frozen=True)
class LeaningConfig:
    """How to measure.

    Attributes:
        scenes: number of test scenes (starts of episodes).
        seed: root seed of the scenes.
        factors: factor -> levels; scene i uses level i modulo their number.
        target_shift: how far the target is moved, in a direction drawn per scene [m].
        leans_above: a factor is leaned on when the ratio's whole interval lies above this, robust when it lies below.
        ignorant_below: a policy is ignorant when neither the target's move nor any factor shifts its actions by this
            many standard deviations.
    """

    scenes: int = 40
    seed: int = 0
    factors: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=lambda: dict(DEFAULT_FACTORS))
    target_shift: float = 0.05
    leans_above: float = 0.5
    ignorant_below: float = 0.02

    def __post_init__(self) -> None:
        if self.scenes < 2:
            raise ConfigError(f"scenes={self.scenes}; an interval needs at least 2 scenes")
        empty = [name for name, levels in self.factors.items() if not levels]
        if empty:
            raise ConfigError(f"factor {empty[0]!r} has no level to change to")


@dataclasses.dataclass(frozen=True)
class FactorEffect:
    """One factor's effect on one policy.

    Attributes:
        factor: its name.
        shift: mean action shift, in standard deviations of an action.
        ratio: shift divided by the target's shift; inf where the target moves nothing.
        label: "leans on", "robust", "unclear" (the interval holds the limit) or "ignorant".
    """

    factor: str
    shift: Estimate
    ratio: Estimate
    label: str


@dataclasses.dataclass(frozen=True)
class LeaningResult:
    """What one policy leans on.

    Attributes:
        policy: its name.
        pooling: its pooling, "" where it has none.
        target: action shift when the target moves, in standard deviations of an action.
        repeat: the same when nothing changes; 0 for a deterministic policy and renderer.
        factors: one entry per factor.
        verdict: "ignorant", else "leans on a, b", "robust" or "unclear".
        unit: what a shift of 1 is.
        scenes: number of scenes.
        limits: thresholds that were applied.
    """

    policy: str
    pooling: str
    target: Estimate
    repeat: float
    factors: tuple[FactorEffect, ...]
    verdict: str
    unit: str
    scenes: int
    limits: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {
            "target": self.target.to_json(),
            "factors": {
                f.factor: {"shift": f.shift.to_json(), "ratio": f.ratio.to_json(), "label": f.label}
                for f in self.factors
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LeaningResult:
        """Returns the result that `to_json` wrote; factors come in alphabetical order from a file with sorted keys."""
        factors = tuple(
            FactorEffect(name, Estimate.from_json(f["shift"]), Estimate.from_json(f["ratio"]), f["label"])
            for name, f in value["factors"].items()
        )
        return cls(**{**value, "target": Estimate.from_json(value["target"]), "factors": factors})


def label_factor(ratio: Estimate, shift: Estimate, target: Estimate, limit: float, ignorant_below: float) -> str:
    """Names a factor's effect; see `FactorEffect.label`.

    A policy that its target hardly moves leans on whatever does move it: the ratio's size then says nothing.
    """
    if target.value < ignorant_below:
        return "ignorant" if shift.value < ignorant_below else "leans on"
    if ratio.low > limit:
        return "leans on"
    return "robust" if ratio.high < limit else "unclear"


def _verdict(factors: Sequence[FactorEffect], target: Estimate, ignorant_below: float) -> str:
    leans = [f.factor for f in factors if f.label == "leans on"]
    if leans:
        return "leans on " + ", ".join(leans)
    if target.value < ignorant_below:
        return "ignorant"
    return "robust" if all(f.label == "robust" for f in factors) else "unclear"


def analyse(
    base: Array, changed: Mapping[str, Array], moved: Array, repeated: Array, scale: Array, config: LeaningConfig,
    policy: str = "", pooling: str = "", unit: str = "standard deviations of an action",
) -> LeaningResult:
    """Turns predicted chunks into shifts, ratios, intervals (bootstrap over scenes) and labels.

    Args:
        base: (N, K, A) chunks for the unchanged scenes.
        changed: factor -> (N, K, A) chunks with that factor changed.
        moved: (N, K, A) chunks with the target moved.
        repeated: (N, K, A) chunks for the unchanged scenes rendered again.
        scale: (A,) unit of each action entry, above 0.
        config: limits and the bootstrap's seed.
        policy: name.
        pooling: its pooling.
        unit: what `scale` is, in words.
    """

    def shifts(other: Array) -> Array:
        return np.asarray(np.mean(np.abs(other - base) / scale, axis=(1, 2)))  # (N,)

    by_target = shifts(moved)
    target = bootstrap_mean(by_target, seed=config.seed)
    factors = []
    for name, chunks in changed.items():
        by_scene = shifts(chunks)
        shift = bootstrap_mean(by_scene, seed=config.seed)
        ratio = bootstrap_ratio(by_scene, by_target, seed=config.seed)
        label = label_factor(ratio, shift, target, config.leans_above, config.ignorant_below)
        factors.append(FactorEffect(name, shift, ratio, label))
    limits = {name: getattr(config, name) for name in ("leans_above", "ignorant_below")}
    limits["target_shift_m"] = config.target_shift
    verdict, repeat = _verdict(factors, target, config.ignorant_below), float(shifts(repeated).mean())
    return LeaningResult(policy, pooling, target, repeat, tuple(factors), verdict, unit, len(base), limits)


def measure_leaning(
    predict: Predict, world: World, ids: Sequence[str], config: LeaningConfig, look: Callable[[Mapping[str, Any]], Any],
    action_std: NDArray[np.floating[Any]] | None = None, policy: str = "", pooling: str = "", progress: bool = False,
) -> LeaningResult:
    """Renders scenes with one factor changed at a time and measures how far `predict` moves.

    Args:
        predict: observation -> (K, A) action chunk; must not depend on what it saw before.
        world: where scenes are made.
        ids: object ids; scenes take turns through them as an evaluation does.
        config: scenes, factors and limits.
        look: makes an appearance from changed fields; {} is the training look.
        action_std: (A,) standard deviation of the training actions, or None to use that of the predicted chunks.
        policy: name.
        pooling: its pooling.
        progress: show a bar.
    """
    chunks: dict[str, list[Array]] = {name: [] for name in ("base", "moved", "repeated", *config.factors)}
    label = f"what {policy or 'the policy'} leans on"
    for scene in track(range(config.scenes), label, unit="scene", shown=progress):
        object_id, _ = object_of_episode(ids, config.seed, scene)
        world.reset(seed=config.seed, options={"episode": scene, "object": object_id, "purpose": "test"})
        world.set_look(look({}))
        state = np.array(world.sim_state())

        def see(name: str) -> None:
            chunks[name].append(np.asarray(predict(world.observe()), dtype=np.float64))

        see("base")
        for name, levels in config.factors.items():
            world.set_look(look({name: levels[scene % len(levels)]}))
            see(name)
        world.set_look(look({}))
        angle = float(episode_rng(config.seed, scene, "target-move").uniform(0.0, 2.0 * np.pi))
        world.move_object(config.target_shift * float(np.cos(angle)), config.target_shift * float(np.sin(angle)))
        see("moved")
        world.load_sim_state(object_id, state)
        see("repeated")
    base, moved, repeated, *others = (np.stack(values) for values in chunks.values())
    scale, unit = _scale(action_std, base)
    changed = dict(zip(config.factors, others, strict=True))
    return analyse(base, changed, moved, repeated, scale, config, policy, pooling, unit)


def _scale(action_std: NDArray[np.floating[Any]] | None, base: Array) -> tuple[Array, str]:
    """Returns the unit of each action entry (A,); entries that never vary get 1, in their own physical unit."""
    if action_std is not None:
        std, unit = np.asarray(action_std, dtype=np.float64), "standard deviations of the training actions"
    else:
        std = base.reshape(-1, base.shape[-1]).std(axis=0)
        unit = "standard deviations of the actions predicted for unchanged scenes"
    return np.where(std > 1e-6, std, 1.0), unit


def diagnose(
    policy: str, objects: str, config: LeaningConfig | None = None, spec: EnvSpec | None = None, progress: bool = True
) -> LeaningResult:
    """Measures what a policy folder or exported bundle leans on, on the objects of a set.

    Args:
        policy: its path.
        objects: object set, e.g. "toys:test".
        config: scenes, factors and limits.
        spec: how to make the environment.
        progress: show a bar.

    Raises:
        ConfigError: the oracle or the random policy, which look at no images.
    """
    from toyshift.toys import load_objects

    actor, env = open_actor(policy, objects, spec or EnvSpec())
    try:
        if not isinstance(actor, FolderActor):
            raise ConfigError(f"{policy} looks at no images and leans on none of their factors; name a trained policy")
        acting, config = actor.policy, config or LeaningConfig()

        def predict(obs: Any) -> NDArray[np.floating[Any]]:
            acting.reset()
            return np.asarray(acting.act(with_instruction(obs, env)))

        ids, std = load_objects(objects).ids, action_std(acting)
        return measure_leaning(predict, env, ids, config, make_look, std, actor.name, actor.pooling, progress)
    finally:
        env.close()


def leaning_of(asked: Asked) -> LeaningResult:
    """Measures what a policy leans on."""
    return diagnose(asked.policy, asked.objects, LeaningConfig(scenes=asked.scenes, seed=asked.seed))


def leaning_table(result: LeaningResult) -> str:
    """Returns the result as a text table for terminals."""
    from toyshift.diagnostics.tables import interval, render_table

    lines = [
        [f.factor, f"{f.shift.value:.3f}", f"{f.ratio.value:.2f}", interval(f.ratio.low, f.ratio.high), f.label]
        for f in result.factors
    ]
    move = f"target moved {100 * result.limits['target_shift_m']:g} cm: {result.target.value:.3f} {result.unit}"
    head = f"{result.policy}: {result.verdict} ({move}; {result.scenes} scenes)"
    return head + "\n" + render_table(["factor", "shift", "ratio", "95 %", "label"], lines)
