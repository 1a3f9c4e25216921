"""Success under a shift, predicted from a policy's answers to single looks before any shifted episode is played.

Along episodes every state is seen again under the shift. The change of the actions is told as a displacement: as many
cm of the target's way change them as much (root mean squares over a scene's looks; all of the change counts, not only
that along the table). A grasp misses where the hand is further from its place than `tolerance`: half of what the
gripper's opening leaves beside the object. The policy's own errors are taken as normal, with the spread that makes them
miss as often as its unshifted episodes do; so the success of a scene displaced by d is P(|e + d| <= tolerance). Nothing
is fitted to shifted episodes: `GAIN`, the only constant, is 1 until a study sets it on factors it then leaves out.

Of a swap whose direction is known (`swap_foretold`) the signed response of `counterfactual` is the displacement.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng, object_of_episode
from toyshift.core.world import World
from toyshift.diagnostics.changes import episodes_under, rows_under
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate_all
from toyshift.diagnostics.looks import BASE, Answers, Change, look_along
from toyshift.diagnostics.measuring.counterfactual import FOLLOWS, Places, four_sides, per_centimetre, units_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, undefined
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate
from toyshift.diagnostics.summaries import compare

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME, UNIT = "predicted", "rank correlation of predicted and measured changes of success"
GAIN = 1.0  # displacement at the grasp per displacement of the looks
LEAST_TOLERANCE = 0.2  # of objects that hardly fit into the gripper [cm]
FACTORS = (
    "camera-azimuth", "camera-distance", "light-intensity", "table-texture", "background", "distractors",
    "object-colour", "image-noise",
)  # fmt: skip
LEVELS = (2, 5)
MOVE = 0.02  # of the target [m]
DRAWS = 2000


@dataclasses.dataclass(frozen=True)
class UnderShifts:
    """What is changed at a look: the target's place to four sides, and every shift."""

    shifts: tuple[str, ...]

    def __call__(self, scene: int, at: int, free: bool, world: World) -> dict[str, Change]:
        return four_sides(MOVE) | {shift: Change(shift=shift) for shift in self.shifts}


def chance_to_hold(displacement: ArrayLike, tolerance: ArrayLike, spread: ArrayLike) -> Array:
    """Returns P(|e + displacement| <= tolerance) for a normal error e of that spread; all in cm, spread above 0."""
    from scipy.special import ndtr

    d, room, sigma = np.broadcast_arrays(np.abs(displacement), tolerance, spread)
    return np.asarray(ndtr((room - d) / sigma) - ndtr((-room - d) / sigma))


def spread_of(success: ArrayLike, tolerance: Array) -> Array:
    """Returns the spread [cm] of errors with which objects of these tolerances (S,) [cm] are held at a rate (...,).

    Args:
        success: strictly between 0 and 1.
        tolerance: of the objects.
    """
    wanted = np.asarray(success, np.float64)[..., None]
    low, high = np.full(wanted.shape, -12.0), np.full(wanted.shape, 12.0)  # logarithms
    for _ in range(60):
        middle = (low + high) / 2
        more = chance_to_hold(0.0, tolerance, np.exp(middle)).mean(axis=-1, keepdims=True) > wanted
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.asarray(np.exp(low[..., 0]))


def displacements(toward: Array, change: Array, scene: Indices) -> Array:
    """Returns how many cm of the target's way change actions as much as a shift does, in each scene (S,).

    Args:
        toward: (N, 2, F) change of the actions per cm of the target's way along x and y.
        change: (N, F) of the actions under the shift.
        scene: (N,) of each look.
    """
    per_cm, size = np.bincount(scene, (toward**2).sum(axis=(1, 2)) / 2), np.bincount(scene, (change**2).sum(axis=1))
    # a scene in which the target hardly moves the actions takes part of what all scenes tell
    return np.asarray(np.sqrt(size / np.maximum(per_cm, 0.1 * per_cm.mean())))


class Skill:
    """How well objects are held without a shift, and so under one.

    Args:
        won: successes of the unshifted episodes.
        played: how many there were.
        tolerance: (S,) of the scenes' objects [cm].
        unit: (S,) of each scene: its object.
        seed: of the resampling.
    """

    def __init__(self, won: int, played: int, tolerance: Array, unit: Indices, seed: int = 0) -> None:
        rng, m = episode_rng(seed, 0, "predicted"), int(unit.max()) + 1
        self.rate = (won + 0.5) / (played + 1)  # Jeffreys' mean: never 0 or 1, where no spread could be told
        self._tolerance, self._m = tolerance, m
        self._rates = np.clip(rng.beta(won + 0.5, played - won + 0.5, DRAWS), 1e-4, 1 - 1e-4)
        self._spread, self._spreads = spread_of(self.rate, tolerance), spread_of(self._rates, tolerance)
        self._weight = rng.multinomial(m, np.full(m, 1 / m), DRAWS)[:, unit]

    def under(self, displaced: Array) -> Estimate:
        """Returns the change of success in scenes displaced by (S,) [cm]; its interval is for new objects, and knows
        that the unshifted rate is uncertain as well.
        """
        value = float(chance_to_hold(GAIN * displaced, self._tolerance, self._spread).mean()) - self.rate
        each = chance_to_hold(GAIN * displaced, self._tolerance, self._spreads[:, None])  # (DRAWS, S)
        drawn = (each * self._weight).sum(axis=1) / self._weight.sum(axis=1) - self._rates
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return Estimate(value, float(low), float(high), self._m)


def predicted_drops(
    answers: Answers, shifts: Sequence[str], tolerance: Mapping[str, float], won: int, played: int, *, seed: int = 0
) -> list[dict[str, Any]] | str:
    """Returns a line per shift, or why nothing can be predicted.

    Args:
        answers: to `UnderShifts`.
        shifts: in order.
        tolerance: object id -> cm.
        won: successes of the unshifted episodes.
        played: how many there were.
        seed: of the resampling.
    """
    if not won:
        return f"none of {played} unshifted episodes succeeds: there is nothing to lose"
    scale, _ = answers.scale()
    scene, unit, _ = units_of(answers)
    toward = per_centimetre(answers, scale, MOVE)
    if Places(toward, scene, unit).strength < FOLLOWS:
        return "its actions do not follow the target, so no shift can be told in centimetres of it"
    objects = {look.scene: look.object_id for look in answers.looks}
    room = np.array([tolerance[objects[number]] for number in sorted(objects)])
    base, skill = answers.chunks(BASE), Skill(won, played, room, unit, seed)
    lines = []
    for shift in shifts:
        change = ((answers.chunks(shift) - base) / scale).reshape(len(base), -1)
        displaced = displacements(toward, change, scene)
        drop = skill.under(displaced)
        factor, _, level = shift.partition("=")
        lines.append({
            "factor": factor, "level": int(level), "displacement_cm": float(np.median(displaced)),
            "predicted": skill.rate + drop.value, "predicted change": drop.value, "low": drop.low,
            "high": drop.high,
        })  # fmt: skip
    return lines


def rank_correlation(first: ArrayLike, second: ArrayLike) -> Estimate:
    """Returns Spearman's correlation with Bonett and Wright's interval; nan where one side never varies, or below 4."""
    from scipy.stats import rankdata

    a, b = (rankdata(np.round(np.asarray(x, np.float64), 9)) for x in (first, second))
    n = len(a)
    if n < 4 or not np.ptp(a) or not np.ptp(b):
        return Estimate(math.nan, math.nan, math.nan, n)
    r = float(np.corrcoef(a, b)[0, 1])
    half = 1.959964 * math.sqrt((1 + r**2 / 2) / (n - 3))
    centre = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    return Estimate(r, math.tanh(centre - half), math.tanh(centre + half), n)


def swap_foretold(
    response: Estimate, objects: str, scenes: int, success: tuple[int, int], seed: int = 0
) -> Estimate:
    """Returns the change of success that a swap of values, in whole episodes, is foretold to make.

    Its mean response in single looks is taken for the way by which every grasp is displaced: what it does beside that,
    this way in one scene and that way in another, takes the place of the policy's own errors, and adds nothing to them.

    Args:
        response: of counterfactual, towards the place that the other value implied [cm].
        objects: set that is played.
        scenes: how many of its objects, as an evaluation takes them, say how far a hand may be off.
        success: successes and episodes with nothing swapped: others than those that the change is compared with, or
            both would share their noise.
        seed: root seed.

    Returns:
        nan where the response is; its interval holds those at both ends of the response's.
    """
    from toyshift.toys import load_objects

    if math.isnan(response.value):
        return Estimate(math.nan, math.nan, math.nan, 0)
    ids = [object_of_episode(load_objects(objects).ids, seed, scene)[0] for scene in range(scenes)]
    known, unit = np.unique(ids, return_inverse=True)
    tolerance = tolerances(objects, known.tolist())
    skill = Skill(*success, np.array([tolerance[name] for name in ids]), unit, seed)
    least = 0.0 if response.low < 0 < response.high else min(abs(response.low), abs(response.high))
    ways = abs(response.value), least, max(abs(response.low), abs(response.high))
    value, *ends = (skill.under(np.full(scenes, way)) for way in ways)
    return Estimate(value.value, min(end.low for end in ends), max(end.high for end in ends), value.n)


def tolerances(objects: str, names: Collection[str]) -> dict[str, float]:
    """Returns by how many cm the hand may be off for objects of a set: half of what the gripper leaves beside each."""
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.robots import get_robot
    from toyshift.toys import load_objects

    known, opening = load_objects(objects), get_robot(EnvConfig(objects=objects).robot).gripper.opening
    return {name: max(50 * (opening - known.by_id(name).width), LEAST_TOLERANCE) for name in names}


def predicted_of(asked: Asked) -> Findings:
    """Predicts every factor and level for one policy, then plays them from the same starts, and compares."""
    if not asked.trials:
        why = "how often it succeeds unshifted is asked of episodes; give --trials"
        return Findings((undefined(NAME, UNIT, why, subject=asked.policy),))
    shifts = tuple(f"{factor}={level}" for factor in FACTORS for level in LEVELS)
    config = EvaluateConfig(asked.policy, asked.objects, trials=asked.scenes, seed=asked.seed, remote=asked.remote)
    with asked.playing() as pool:
        changes = UnderShifts(shifts)
        answers = look_along(config, asked.looks, changes, along=asked.along, free_only=True, pool=pool)
        tolerance = tolerances(asked.objects, {look.object_id for look in answers.looks})
        plain = rows_under(asked, "plain" if not asked.base_look else "ordinary", pool)
        won = sum(row.success for row in plain)
        lines = predicted_drops(answers, shifts, tolerance, won, len(plain), seed=asked.seed)
        if isinstance(lines, str):
            return Findings((undefined(NAME, UNIT, lines, subject=answers.policy),))
        episodes = [episodes_under(asked, shift.replace("=", "-"), shift=shift) for shift in shifts]
        for line, rows in zip(lines, evaluate_all(episodes, pool=pool), strict=True):
            change = compare([dataclasses.replace(row, shift="") for row in rows], plain).difference
            line |= {"measured change": change.value, "measured low": change.low, "measured high": change.high}
    return Findings((finding_of(answers.policy, lines, won, len(plain)),))


def finding_of(policy: str, lines: Sequence[dict[str, Any]], won: int, played: int) -> Finding:
    """Returns what predictions and measurements come to."""
    foretold, measured = ([line[name] for line in lines] for name in ("predicted change", "measured change"))
    agreement = rank_correlation(foretold, measured)
    apart = float(np.mean(np.abs(np.subtract(foretold, measured))))
    within = sum(line["low"] <= line["measured high"] and line["measured low"] <= line["high"] for line in lines)
    factors = len({line["factor"] for line in lines})
    caveats = [f"{won} of {played} unshifted episodes succeed", f"intervals of {within} of {len(lines)} shifts overlap"]
    caveats.append(
        f"{len(lines)} points are levels of {factors} factors beside one baseline: not independent, so the interval of "
        "their correlation is too narrow"
    )
    if math.isnan(agreement.value):
        agreed = "ranks cannot be compared: success or its prediction is the same under all shifts"
    else:
        agreed = f"Spearman {agreement.value:.2f} over {len(lines)} factors and levels"
    worst = min(lines, key=lambda line: float(line["predicted change"]))
    shown = agreement.low > 0 and worst["measured high"] < 0  # nan is not above 0
    most = f"{worst['factor']} at level {worst['level']}: {100 * worst['predicted change']:+.0f} points predicted"
    return Finding(
        name=NAME, subject=policy, value=agreement, unit=UNIT, null=0.0,
        verdict=f"{agreed}; predictions are {100 * apart:.0f} points off on average",
        card=f"most is lost under {most}, {100 * worst['measured change']:+.0f} measured" if shown else "",
        table=tuple(lines), caveats=tuple(caveats),
    )  # fmt: skip
