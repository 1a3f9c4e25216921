"""What a policy is sensitive to: how far its actions move with one irrelevant factor, and whether success moves too.

The expert plays an episode; at several states along it the scene is rendered twice with exactly one factor changed. The
*shift* is the mean absolute difference of the two predicted action chunks, each action entry divided by its standard
deviation over the policy's training actions (or, where a policy does not tell it, over the chunks that it predicts for
the unchanged scenes). So the unit is "standard deviations of an action". The *ratio* divides the shift by the one that
the target causes per centimetre of its way; so its unit is "centimetres of the target", and a policy that hardly
follows its target has a large ratio without being sensitive to anything. Hence the shift comes first, and a policy that
fails without any change is called incapable and gets no labels.

The states are the expert's, not the policy's own: they are the same for every policy, they reach from the first look to
the lifted object also for a policy that never gets there, and they are those that demonstrations show. The target is
moved by 1 cm, not by 5 and the shift divided: actions are bounded, so the shift of a long way says too little of a
short one, and a hand that is about to close leaves no room for 5 cm. It is moved while nothing has touched it.
A policy with a history sees every look as the first of an episode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Pool
from toyshift.core.world import World
from toyshift.diagnostics.actors import Actor, EnvSpec
from toyshift.diagnostics.changes import DEFAULT_FACTORS, ChangedSuccess, changes_of, levels_beside
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.looks import BASE, Answers, Change, Predict, look_along, looks_in_scene
from toyshift.diagnostics.statistics import Estimate, PairedDifference, bootstrap_mean, bootstrap_ratio
from toyshift.policies.remote.options import RemoteOptions

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

MOVED, REPEATED = "moved", "repeated"  # names of changes beside the factors
SENSITIVE, ROBUST, NOT_SHOWN = "sensitive", "robust", "not shown to be robust"  # labels of a factor; "" is none
STEADY = 0.1  # change in success that counts as none where its whole interval is smaller


@dataclasses.dataclass(frozen=True)
class SensitivityConfig:
    """How to measure.

    Attributes:
        scenes: number of test scenes (starts of episodes).
        looks: states along the expert's episode in which a scene is looked at, evenly from its first to its last.
        seed: root seed of the scenes.
        factors: factor -> levels; scene i uses level i modulo their number.
        target_move: how far the target is moved, in a direction drawn per look [m].
        sensitive_above: a policy is sensitive to a factor when the ratio's whole interval lies above this [cm].
        robust_below: it is robust when the whole interval lies below this [cm].
        capable_from: success on training toys below which a policy is incapable, and its factors have no label.
    """

    scenes: int = 40
    looks: int = 5
    seed: int = 0
    factors: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=lambda: dict(DEFAULT_FACTORS))
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target_move: float = 0.01
    sensitive_above: float = 1.0
    robust_below: float = 0.1
    capable_from: float = 0.5

    def __post_init__(self) -> None:
        if self.scenes < 2:
            raise ConfigError(f"scenes={self.scenes}; an interval needs at least 2 scenes")
        if self.looks < 1:
            raise ConfigError(f"looks={self.looks}; a scene is looked at at least once")
        empty = [name for name, levels in self.factors.items() if not levels]
        if empty:
            raise ConfigError(f"factor {empty[0]!r} has no level to change to")


@dataclasses.dataclass(frozen=True)
class FactorEffect:
    """One factor's effect on one policy.

    Attributes:
        factor: its name.
        shift: mean action shift, in standard deviations of an action.
        ratio: shift divided by the target's per centimetre [cm]; inf where the target moves nothing, nan where the
            factor does not either.
        label: SENSITIVE, ROBUST or NOT_SHOWN; "" for none.
        success: success with the factor changed minus success without, on the same episodes; None where not measured.
        check: what success says of the label, in words; "" where there is nothing to say.
    """

    factor: str
    shift: Estimate
    ratio: Estimate
    label: str = ""
    success: PairedDifference | None = None
    check: str = ""


@dataclasses.dataclass(frozen=True)
class SensitivityResult:
    """What one policy is sensitive to.

    Attributes:
        policy: its name.
        pooling: its pooling, "" where it has none.
        target: action shift per centimetre of the target's way, in standard deviations of an action.
        repeat: action shift when nothing changes; 0 for a deterministic policy and renderer.
        factors: one entry per factor.
        unit: what a shift of 1 is.
        scenes: number of scenes.
        looks: number of looks at them, all together.
        limits: thresholds that are applied: `sensitive_above`, `robust_below`, `capable_from`.
        training: successes and episodes on training toys, nothing changed; None where unknown.
    """

    policy: str
    pooling: str
    target: Estimate
    repeat: float
    factors: tuple[FactorEffect, ...]
    unit: str
    scenes: int
    looks: int
    limits: dict[str, float]
    training: tuple[int, int] | None = None

    @property
    def incapable(self) -> bool:
        """Whether it is known to fail without any change."""
        return self.training is not None and self.training[0] < self.limits["capable_from"] * self.training[1]

    def judged(self, success: ChangedSuccess | None) -> SensitivityResult:
        """Returns the result with labels, as far as success on training toys allows, and with what success says."""
        known = success.training if success else None
        result = dataclasses.replace(self, training=(known.k, known.n) if known else None)
        labelled = known is not None and not result.incapable

        def judge(effect: FactorEffect) -> FactorEffect:
            label = label_factor(effect.ratio, self.limits) if labelled else ""
            change = success.change.get(effect.factor) if success else None
            said = "" if change is None or result.incapable else check_label(label, change.difference)
            return dataclasses.replace(effect, label=label, success=change, check=said)

        return dataclasses.replace(result, factors=tuple(judge(effect) for effect in self.factors))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {
            "target": self.target.to_json(),
            "verdict": verdict(self),
            "factors": {
                f.factor: {
                    "shift": f.shift.to_json(), "ratio": f.ratio.to_json(), "label": f.label,
                    "success": f.success and f.success.to_json(), "check": f.check,
                }
                for f in self.factors
            },
        }  # fmt: skip

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> SensitivityResult:
        """Returns the result that `to_json` wrote; factors come in alphabetical order from a file with sorted keys."""
        factors = tuple(
            FactorEffect(
                name, Estimate.from_json(f["shift"]), Estimate.from_json(f["ratio"]), f["label"],
                PairedDifference.from_json(f["success"]) if f["success"] else None, f["check"],
            )
            for name, f in value["factors"].items()
        )  # fmt: skip
        own = {name: found for name, found in value.items() if name != "verdict"}
        training = tuple(value["training"]) if value["training"] else None
        return cls(**{**own, "target": Estimate.from_json(value["target"]), "factors": factors, "training": training})


def label_factor(ratio: Estimate, limits: Mapping[str, float]) -> str:
    """Names a factor's effect on a capable policy; see `FactorEffect.label`."""
    if ratio.low > limits["sensitive_above"]:
        return SENSITIVE
    return ROBUST if ratio.high < limits["robust_below"] else NOT_SHOWN


def check_label(label: str, change: Estimate) -> str:
    """Says what the paired change in success says of a label, or what it is where there is no label to check."""
    moves = change.low > 0 or change.high < 0
    if not moves and max(-change.low, change.high) >= STEADY:
        return "too few episodes to tell"
    said = f"success {'rises' if change.low > 0 else 'falls' if moves else 'holds'}"
    if label not in (SENSITIVE, ROBUST):
        return said
    return f"{'agrees' if moves == (label == SENSITIVE) else 'DISAGREES'}: {said}"


def verdict(result: SensitivityResult, title: Callable[[str], str] = str) -> str:
    """Returns what is said of a policy in one line.

    Args:
        result: of the policy.
        title: what a factor is called.
    """
    if result.training is None:
        return "not labelled: success on training toys unknown"
    if result.incapable:
        k, n = result.training
        least = f"below {100 * result.limits['capable_from']:g} % its factors get no labels"
        return f"incapable: lifts {k} of {n} training toys with nothing changed; {least}"
    parts = []
    for label, words in ((SENSITIVE, "sensitive to"), (ROBUST, "robust to"), (NOT_SHOWN, "not shown to be robust to")):
        if names := [title(f.factor) for f in result.factors if f.label == label]:
            parts.append(f"{words} {', '.join(names)}")
    if doubted := [title(f.factor) for f in result.factors if f.check.startswith("DISAGREES")]:
        parts.append(f"success disagrees for {', '.join(doubted)}")
    return "; ".join(parts)


def _by_scene(values: Array, scene: Indices) -> Array:
    """Returns the mean of each scene's values (n,): every scene weighs the same, and intervals are over scenes."""
    return np.asarray(np.bincount(scene, weights=values) / np.bincount(scene))


def analyse(
    base: Array, changed: Mapping[str, Array], moved: Array, repeated: Array, scale: Array, scene: Indices,
    free: NDArray[np.bool_], config: SensitivityConfig, policy: str = "", pooling: str = "",
    unit: str = "standard deviations of an action",
) -> SensitivityResult:
    """Turns predicted chunks into shifts and ratios with intervals (bootstrap over scenes), without labels.

    Args:
        base: (N, K, A) chunks for the unchanged looks.
        changed: factor -> (N, K, A) chunks with that factor changed.
        moved: (M, K, A) chunks with the target moved, for the looks at which it is free.
        repeated: (N, K, A) chunks for the unchanged looks rendered again.
        scale: (A,) unit of each action entry, above 0.
        scene: (N,) the scene of each look, from 0 on.
        free: (N,) whether nothing has touched the target yet; M of them, at least one in every scene.
        config: limits and the bootstrap's seed.
        policy: name.
        pooling: its pooling.
        unit: what `scale` is, in words.
    """

    def shifts(chunks: Array, among: NDArray[np.bool_]) -> Array:
        return np.asarray(np.mean(np.abs(chunks - base[among]) / scale, axis=(1, 2)))

    every = np.ones(len(base), dtype=bool)
    by_target = _by_scene(shifts(moved, free), scene[free]) / (100 * config.target_move)
    factors = []
    for name, chunks in changed.items():
        by_factor = _by_scene(shifts(chunks, every), scene)
        ratio = bootstrap_ratio(by_factor, by_target, seed=config.seed)
        factors.append(FactorEffect(name, bootstrap_mean(by_factor, seed=config.seed), ratio))
    limits = {name: getattr(config, name) for name in ("sensitive_above", "robust_below", "capable_from")}
    return SensitivityResult(
        policy, pooling, bootstrap_mean(by_target, seed=config.seed), float(shifts(repeated, every).mean()),
        tuple(factors), unit, len(by_target), len(base), limits,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class OneAtATime:
    """What is changed at a look: one factor, in scene i at level i modulo their number; the target's place; nothing.

    Attributes:
        factors: factor -> levels.
        move: how far the target is moved [m].
        seed: of the direction in which.
        base: what the look with nothing changed has otherwise than the ordinary one.
    """

    factors: Mapping[str, Sequence[Any]]
    move: float
    seed: int
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __call__(self, scene: int, at: int, free: bool, world: World) -> dict[str, Change]:
        changes = {BASE: Change(self.base)}
        changes |= {
            name: Change({**self.base, name: levels[scene % len(levels)]}) for name, levels in self.factors.items()
        }
        angle = float(episode_rng(self.seed, scene, "target-move").uniform(0.0, 2.0 * np.pi, at + 1)[at])
        if free:
            way = self.move * float(np.cos(angle)), self.move * float(np.sin(angle))
            changes[MOVED] = Change(self.base, way)
        return changes | {REPEATED: Change(self.base, again=True)}


def measure_sensitivity(
    predict: Predict, expert: Actor, world: World, ids: Sequence[str], config: SensitivityConfig,
    look: Callable[[Mapping[str, Any]], Any], action_std: NDArray[np.floating[Any]] | None = None, policy: str = "",
    pooling: str = "", progress: bool = False,
) -> SensitivityResult:
    """Renders looks along episodes with one factor changed at a time and measures how far `predict` moves.

    Args:
        predict: observations -> (B, K, A) action chunks; must not depend on what it saw before.
        expert: plays the episodes.
        world: where scenes are made.
        ids: object ids; scenes take turns through them as an evaluation does.
        config: scenes, looks and factors.
        look: makes an appearance from changed fields; {} is the training look.
        action_std: (A,) standard deviation of the training actions, or None to use that of the predicted chunks.
        policy: name.
        pooling: its pooling.
        progress: show a bar.
    """
    changes = OneAtATime(config.factors, config.target_move, config.seed, config.base)
    looks = [
        seen
        for scene in track(range(config.scenes), f"looks of {policy or 'the policy'}", unit="scene", shown=progress)
        for seen in looks_in_scene(predict, expert, world, ids, scene, config.seed, config.looks, changes, look)
    ]
    std = None if action_std is None else np.asarray(action_std, dtype=np.float64)
    return analyse_answers(Answers(tuple(looks), policy, pooling, std), config)


def analyse_answers(answers: Answers, config: SensitivityConfig) -> SensitivityResult:
    """Turns what a policy answered to `OneAtATime` into shifts and ratios, see `analyse`."""
    scale, unit = answers.scale()
    changed = {name: answers.chunks(name) for name in config.factors}
    where = np.array([one.scene for one in answers.looks]), np.array([one.free for one in answers.looks])
    moved, repeated = answers.chunks(MOVED), answers.chunks(REPEATED)
    named = answers.policy, answers.pooling, unit
    return analyse(answers.chunks(BASE), changed, moved, repeated, scale, *where, config, *named)


def diagnose(
    policy: str, objects: str, config: SensitivityConfig | None = None, spec: EnvSpec | None = None,
    progress: bool = True, remote: RemoteOptions | None = None, workers: int | None = None, pool: Pool | None = None,
) -> SensitivityResult:
    """Measures how far factors move the actions of a policy; `judged` then labels them.

    Args:
        policy: folder, exported bundle, ws://HOST:PORT, vla-eval:HOST:PORT or lerobot:DIR.
        objects: object set, e.g. "toys:test".
        config: scenes, looks, factors and limits.
        spec: how to make the environment, one that the expert can play in.
        progress: show a bar.
        remote: how a policy behind a server is asked and understood.
        workers: processes; None takes one per core, 0 looks in this one. Not used with `pool`.
        pool: processes of `worker_pool`, shared by several calls.

    Raises:
        ConfigError: the oracle or the random policy, which look at no images.
    """
    config = config or SensitivityConfig()
    asked = EvaluateConfig(
        policy, objects, trials=config.scenes, seed=config.seed, env=spec or EnvSpec(), remote=remote or RemoteOptions()
    )
    changes = OneAtATime(config.factors, config.target_move, config.seed, config.base)
    found = look_along(asked, config.looks, changes, workers=workers, progress=progress, pool=pool)
    return analyse_answers(found, config)


def config_of(asked: Asked) -> SensitivityConfig:
    """Returns what is asked of one policy; changes begin from the usual look of its data."""
    base = asked.base_look
    return SensitivityConfig(
        scenes=asked.scenes, looks=asked.looks, seed=asked.seed, factors=levels_beside(base), base=base
    )


def sensitivity_of(asked: Asked) -> SensitivityResult:
    """Measures what a policy is sensitive to, and checks it against its success."""
    config = config_of(asked)
    with asked.playing() as pool:
        found = diagnose(asked.policy, asked.objects, config, remote=asked.remote, pool=pool)
    return found.judged(changes_of(asked))


def sensitivity_table(result: SensitivityResult) -> str:
    """Returns the result as a text table for terminals, the shift first."""
    from toyshift.diagnostics.tables import interval, render_table

    lines = []
    for f in result.factors:
        d = f.success.difference if f.success else None
        success = (f"{100 * d.value:+.0f}", interval(100 * d.low, 100 * d.high, 0)) if d else ("", "")
        ratio = f"{f.ratio.value:.2f}", interval(f.ratio.low, f.ratio.high)
        lines.append([f.factor, f"{f.shift.value:.3f}", interval(f.shift.low, f.shift.high, 3), *ratio, f.label or "-",
                      *success, f.check])  # fmt: skip
    seen = f"{result.looks} looks in {result.scenes} scenes; a shift of 1 is {result.unit}"
    target = f"target moved: {result.target.value:.3f} {interval(result.target.low, result.target.high, 3)} per cm"
    header = ["factor", "shift", "95 %", "= cm of target", "95 %", "label", "success, points", "95 %", "check"]
    return f"{result.policy}: {verdict(result)}\n({seen}; {target})\n{render_table(header, lines)}"
