"""Which way do a policy's actions go when one factor is swapped, and how many centimetres of the target's place is it?

Along episodes one factor takes another value in an otherwise identical state (`looks`). The change of the actions is
compared with those that the target's own way makes in the same states, so it is signed and has a direction on the
table. A shortcut moves the place to one side in scene after scene; what is merely sensitive, or noise, averages out.

*Direction known*: datasets say where the target lay under each value (`implied`). It is brought to the nearer of two
such places, and the value that goes with that is swapped for the other; beta = <da, d> / |d|^2 is the part of the way
to the other place, d being the policy's own change when the target lies there (mean of both values: what a swap adds to
da by chance then cancels in the product). What goes by the cue alone hardly follows its target: then d is the expert's
change. *Direction unknown*: da is laid off on what +-2 cm of the target's place do; the response is the length of the
mean over scenes, less what chance alone would give it, and its direction.

The null: signs of whole objects are dealt out at random. p values are corrected by Holm over factors.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.changes import DEFAULT_FACTORS, levels_beside
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.looks import BASE, Answers, Change, look_along
from toyshift.diagnostics.measuring.finding import Finding, Findings, undefined
from toyshift.diagnostics.measuring.implied import Implied, implied_of, read_episodes
from toyshift.diagnostics.measuring.own_success import CAPABLE_FROM, own_success
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, bootstrap_ratio, holm

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked
    from toyshift.envs.tasks.grasp import GraspEnv

NAME, UNIT = "counterfactual", "cm of the target's place"
# Of verdicts, chosen before the exam: a factor is named from both on.
ALPHA = 1 - CONFIDENCE
LEAST = 0.5  # [cm]
WHOLLY = 0.5  # part of the way from which a policy "takes" a factor for the place; below, it "leans on" it
MOVE = 0.02  # of the target, to all four sides [m]
FEW = 9  # objects, or scenes, with fewer of which no deal of signs is rarer than 5 % of seven factors' (Holm)
FLIPS = 4000
FOLLOWS = 1e-3  # [units per cm]: a policy whose actions move less with the target does not follow it
OWN, EXPERT = "own", "expert"  # whose change of action tells where the target went
OWN_LEAST = 0.2  # share of the expert's change that a policy makes, below which the expert's takes its place
AXES = ("x", "y")  # of the base frame: away from the robot, to its left
OTHERS, ROBOT_COLOUR = "others", "robot_colour"
SHIFTS = {OTHERS: "distractors", ROBOT_COLOUR: "robot-colour"}  # factors that are shifts of an episode, at a level
VALUES: Mapping[str, tuple[Any, ...]] = {**DEFAULT_FACTORS, OTHERS: (3,), ROBOT_COLOUR: (5,)}
TRAINING = dict.fromkeys(DEFAULT_FACTORS, 0) | {"azimuth": 0.0, "light": 1.0, OTHERS: 0, ROBOT_COLOUR: 0}
BY_EXPERT = "it hardly follows its target: centimetres are of the expert's way, not of its own"
BEGUN = "changes begin from the commonest look of the data"
ROBOT = "an action contract is of one robot, so no state can be shown with another one (its colour can)"


def change_to(factor: str, value: Any, base: Mapping[str, Any]) -> Change:
    """Returns what shows a factor's value, all else being as in the look `base`."""
    if factor in SHIFTS:
        return Change(base, shift=f"{SHIFTS[factor]}={value}" if value else "")
    return Change({**base, factor: value})


@dataclasses.dataclass(frozen=True)
class Swaps:
    """What is changed at a look: the target's place to four sides, and every factor.

    Attributes:
        values: factor -> values beside the unchanged one, for factors that imply nothing known.
        implied: factor -> what it implied.
        base: what the look with nothing changed has otherwise than the ordinary one.
    """

    values: Mapping[str, tuple[Any, ...]]
    implied: Mapping[str, Implied] = dataclasses.field(default_factory=dict)
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def unchanged(self, factor: str) -> Any:
        """Returns the value that a factor has with nothing changed."""
        return self.base.get(factor, TRAINING[factor])

    def __call__(self, scene: int, at: int, free: bool, world: World) -> dict[str, Change]:
        base = self.base
        changes = {BASE: Change(base)}
        changes |= {name: dataclasses.replace(side, look=base) for name, side in four_sides(MOVE).items()}
        for factor, values in self.values.items():
            changes |= {f"{factor}={value}": change_to(factor, value, base) for value in values}
        for factor, told in self.implied.items():
            place = cast("GraspEnv", world).object_position()[:2]
            own, other = told.sides(place)
            ways = {"": told.way_to(own, place), " there": told.way_to(other, place)}
            for there, (dx, dy) in ways.items():
                move = (float(dx), float(dy))
                changes[f"{factor} own{there}"] = Change({**base, factor: told.values[own]}, move)
                changes[f"{factor} other{there}"] = Change({**base, factor: told.values[other]}, move)
                changes[f"{factor} expert{there}"] = Change(move=move, expert=True)
        return changes


def four_sides(step: float) -> dict[str, Change]:
    """Returns the target's moves by a step [m] to either side of both axes."""
    return {
        f"{axis}{sign:+d}": Change(move=(sign * step, 0.0) if axis == "x" else (0.0, sign * step))
        for axis, sign in itertools.product(AXES, (-1, 1))
    }


def per_centimetre(answers: Answers, scale: Array, step: float = MOVE) -> Array:
    """Returns the change of the actions (N, 2, F) per cm of the target's way along x and y, in units of `scale`."""
    ways = [answers.chunks(f"{axis}+1") - answers.chunks(f"{axis}-1") for axis in AXES]
    return np.stack([_flat(way, scale) / (200 * step) for way in ways], axis=1)


def _flat(chunks: Array, scale: Array) -> Array:
    return np.asarray((chunks / scale).reshape(len(chunks), -1))


# ---------------------------------------------------------------- signed responses


@dataclasses.dataclass(frozen=True)
class SwapEffect:
    """What one swap of values does.

    Attributes:
        values: of the factor, before and after.
        response: how many cm of the target's place the swap is worth: towards what the value implied (below 0 away
            from it), or, where that is unknown, towards `direction`.
        score: how much of the responses goes to one side, of all: compared with dealt-out signs.
        beta: see the module; nan where the direction is unknown.
        share: which part of the squared responses is the same in all scenes, 0 to 1.
        rest: root mean square of what is not [cm].
        along: share of the squared change of the actions that a change of place could make as well.
        direction: of the response on the table, a unit vector (x, y).
        by: whose change of action the way of the target is: OWN, the policy's, or EXPERT.
    """

    values: tuple[Any, Any]
    response: Estimate
    score: float
    beta: Estimate
    share: float
    rest: float
    along: float
    direction: tuple[float, float]
    by: str = OWN


def scene_means(values: Array, scene: Indices) -> Array:
    """Returns the mean over each scene's looks: (N, ...) -> (S, ...)."""
    total = np.zeros((int(scene.max()) + 1, *values.shape[1:]))
    np.add.at(total, scene, values)
    return np.asarray(total / np.bincount(scene).reshape(-1, *[1] * (values.ndim - 1)))


def unit_sums(values: Array, unit: Indices) -> Array:
    """Returns the sum over each unit's scenes: (S, c) -> (m, c)."""
    return np.stack([np.bincount(unit, weights=column) for column in values.T], axis=1)


def score(sums: Array) -> Array:
    """Returns how much of the vectors (..., m, c) goes to one side: |sum|^2 / sum of |.|^2, 0 where nothing moves."""
    every = (sums**2).sum(axis=(-2, -1))
    return np.asarray((sums.sum(axis=-2) ** 2).sum(axis=-1) / np.where(every > 0, every, 1.0))


def flipped(sums: Sequence[Array], seed: int, name: str) -> float:
    """Returns the p of the largest score of several pairs, whose units (m, c) each have their signs dealt out, the same
    in all pairs.
    """
    signs = _signs(len(sums[0]), seed, name)
    most = np.zeros(FLIPS)
    for one in sums:
        every = float((one**2).sum())
        if every > 0:
            most = np.maximum(most, ((signs @ one) ** 2).sum(axis=1) / every)
    observed = max(float(score(one)) for one in sums)
    return float((1 + np.sum(most >= observed * (1 - 1e-9))) / (1 + FLIPS)) if observed > 0 else 1.0


def _signs(m: int, seed: int, name: str) -> Array:
    """Returns dealt-out signs (FLIPS, m) of a factor's units."""
    return episode_rng(seed, 0, f"signs {name}").integers(0, 2, (FLIPS, m)) * 2.0 - 1.0


def length_by_chance(sums: Sequence[Array], size: Indices, seed: int, name: str) -> float:
    """Returns how long the mean of the clearest pair is on average when the units' signs are dealt out.

    Args:
        sums: of each pair, its units' vectors (m, 2).
        size: (m,) their numbers.
        seed: of the signs.
        name: of the factor.
    """
    signs, clearest, length = _signs(len(size), seed, name), np.full(FLIPS, -1.0), np.zeros(FLIPS)
    for one in sums:
        total, every = signs @ one, float((one**2).sum())
        square, m = (total**2).sum(axis=1), len(size)
        # of the mean's squared length what lies across it is taken off, as `mean_length` does
        aside = np.stack([-total[:, 1], total[:, 0]], axis=1) / np.sqrt(np.where(square > 0, square, 1.0))[:, None]
        rest = signs[:, :, None] * one - (total / size.sum())[:, None] * size[:, None]
        across = m / (m - 1) * (np.einsum("fmc,fc->fm", rest, aside) ** 2).sum(axis=1)
        found = np.sqrt(np.maximum(square - across, 0.0)) / size.sum()
        clear = square / every if every > 0 else np.zeros(FLIPS)
        length, clearest = np.where(clear > clearest, found, length), np.maximum(clear, clearest)
    return float(length.mean())


def _same_share(responses: Array, unit: Indices) -> tuple[float, float]:
    """Returns which part of the squared responses (S, c) is the same in all units, and the root of the rest."""
    size = np.bincount(unit)[:, None]
    means, m = unit_sums(responses, unit) / size, len(size)
    square = float((responses**2).sum(axis=1).mean())
    same = ((means.sum(axis=0) ** 2).sum() - (means**2).sum()) / (m * (m - 1))  # products of different units: no bias
    same = float(min(max(same, 0.0), square))
    return (same / square if square > 0 else 0.0), math.sqrt(square - same)


def mean_length(sums: Array, size: Indices, alpha: float = ALPHA) -> Estimate:
    """Returns the length of a mean vector in two dimensions with its interval, which chance does not lengthen.

    The length is the root of the squared one less the variance across it. The interval's lower end is that of a
    noncentral F, with the variance along the mean for both directions; the upper one Student's t on the length itself:
    it errs on the wide side, most at 0.

    Args:
        sums: (m, 2) of each unit's vectors.
        size: (m,) their numbers.
        alpha: how often the interval may miss.
    """
    from scipy.optimize import brentq
    from scipy.stats import ncf, t

    m, mean = len(sums), sums.sum(axis=0) / size.sum()
    length = float(np.linalg.norm(mean))
    if length == 0:
        return Estimate(0.0, 0.0, 0.0, m)
    along = mean / length
    rest = (sums - mean * size[:, None]) / size.sum() @ np.stack([along, [-along[1], along[0]]], axis=1)
    line, across = (float(v) for v in m / (m - 1) * (rest**2).sum(axis=0))
    value, low = math.sqrt(max(0.0, length**2 - across)), length
    if line > 1e-9 * length**2:
        seen, most = length**2 / (2 * line), 2.0

        def above(centre: float) -> float:
            return float(ncf.sf(seen, 2, m - 1, centre)) - alpha / 2

        while above(most) < 0:
            most *= 2
        low = 0.0 if above(1e-9) > 0 else math.sqrt(brentq(above, 1e-9, most) * line)
    high = length + float(t.ppf(1 - alpha / 2, m - 1)) * math.sqrt(line)
    return Estimate(value, min(low, value), high, m)


class Places:
    """What a policy's actions do when the target moves, in every look; swaps are laid off on it.

    Args:
        toward: (N, 2, F) change of the actions per cm of the target's way.
        scene: (N,) the scene of each look, from 0 on.
        unit: (S,) of each scene: what is independent, an object.
        seed: of resampling.
    """

    def __init__(self, toward: Array, scene: Indices, unit: Indices, seed: int = 0) -> None:
        self.toward, self.scene, self.unit, self.seed = toward, scene, unit, seed
        self.gram = np.einsum("naf,nbf->nab", toward, toward)
        self.pooled = scene_means(self.gram, scene).mean(axis=0)
        # a direction in which actions hardly move is not divided by
        self._inverse = np.linalg.pinv(self.pooled, rcond=1e-2, hermitian=True)
        self._each = np.linalg.pinv(self.gram, rcond=1e-2, hermitian=True)

    @property
    def strength(self) -> float:
        """Root mean square change of an action entry per cm of the target's way."""
        return float(np.sqrt(np.trace(self.pooled) / 2 / self.toward.shape[-1]))

    def responses(self, change: Array) -> tuple[Array, float]:
        """Returns how many cm along x and y a change of the actions (N, F) is worth in each scene (S, 2), whose mean is
        the least squares over all looks; and which share of its square a change of place could make.
        """
        onto = np.einsum("naf,nf->na", self.toward, change)
        made, square = float(np.einsum("na,nab,nb->", onto, self._each, onto)), float((change**2).sum())
        return scene_means(onto, self.scene) @ self._inverse, made / square if square > 0 else 0.0

    def pair(self, values: tuple[Any, Any], change: Array, of: int = 1) -> tuple[SwapEffect, Array]:
        """Returns what a swap does whose direction is unknown, and the sums of the units' responses (m, 2); its
        interval is one of several pairs' (Bonferroni), since the clearest is chosen.
        """
        found, along = self.responses(change)
        sums = unit_sums(found, self.unit)
        response = mean_length(sums, np.bincount(self.unit), ALPHA / of)
        share, rest = _same_share(found, self.unit)
        nothing = Estimate(math.nan, math.nan, math.nan, response.n)
        side = _toward(sums.sum(axis=0))
        return SwapEffect(values, response, float(score(sums)), nothing, share, rest, along, side), sums


def _toward(vector: Array) -> tuple[float, float]:
    size = float(np.linalg.norm(vector))
    return (float(vector[0]) / size, float(vector[1]) / size) if size > 0 else (math.nan, math.nan)


def known_pair(
    told: Implied, cells: Mapping[str, Array], scene: Indices, unit: Indices, seed: int = 0
) -> tuple[SwapEffect, Array] | None:
    """Returns what a swap does whose implied place is known, and the sums of the units' products (m, 1).

    A policy that goes by the cue alone does not follow its target, and |d|^2 is next to nothing: so where it makes less
    than `OWN_LEAST` of the expert's change of action, d is the expert's. None where there is neither.

    Args:
        told: what the factor implied.
        cells: "own", "other", "own there", "other there" -> (N, F) actions under the value that goes with the target's
            place and under the other one, with the target at its implied place and at the other one; "expert", "expert
            there" -> (N, A) the expert's next one, nan where it has none.
        scene: (N,) the scene of each look.
        unit: (S,) of each scene.
        seed: of resampling.
    """
    own, other, there, both = (cells[name] for name in ("own", "other", "own there", "other there"))
    change, target, gap = other - own, ((there - own) + (both - other)) / 2, 100 * told.apart
    right = np.nan_to_num(cells["expert there"] - cells["expert"])  # looks without a grasp have no weight
    entries, whole_way = right.shape[1], float((right**2).sum())
    by = OWN
    if whole_way > 0 and float((target[:, :entries] * right).sum()) < OWN_LEAST * whole_way:
        by, change, target = EXPERT, change[:, :entries], right
    product, square = (change * target).sum(axis=1), (target**2).sum(axis=1)
    if np.sqrt(square.mean() / target.shape[1]) < FOLLOWS * gap:
        return None
    top, bottom = scene_means(product, scene), scene_means(square, scene)
    beta = bootstrap_ratio(top, bottom, unit.tolist(), seed=seed)
    response = Estimate(gap * beta.value, gap * beta.low, gap * beta.high, beta.n)
    share, rest = _same_share(gap * (top / bottom.mean())[:, None], unit)
    made, whole = float((product**2 / np.where(square > 0, square, 1.0)).sum()), float((change**2).sum())
    sums, along = unit_sums(top[:, None], unit), made / whole if whole > 0 else 0.0
    direction = _toward(np.subtract(*told.places[::-1]))
    return SwapEffect(told.values, response, float(score(sums)), beta, share, rest, along, direction, by), sums


# ---------------------------------------------------------------- findings


def units_of(answers: Answers) -> tuple[Indices, Indices, str]:
    """Returns the scene (N,) of each look, the unit (S,) of each scene, and what a unit is: objects, or few of them."""
    numbers, scene = np.unique([look.scene for look in answers.looks], return_inverse=True)
    object_of = {look.scene: look.object_id for look in answers.looks}
    objects, unit = np.unique([object_of[int(number)] for number in numbers], return_inverse=True)
    if len(objects) >= FEW:
        return scene, unit, ""
    few = f"{len(objects)} objects: scenes are the units, nothing is said of new objects"
    return scene, np.arange(len(numbers)), few


def counterfactual(
    answers: Answers, swaps: Swaps, *, seed: int = 0, training: tuple[int, int] | None = None,
    notes: Mapping[str, str] | None = None,
) -> Findings:
    """Turns what a policy answered to `swaps` into one finding per factor, the robot's among them.

    Args:
        answers: of `looks.look_along`, where the target is free.
        swaps: what was changed.
        seed: of resampling and signs.
        training: successes and episodes as in training; None where unknown.
        notes: factor -> why its direction is unknown.
    """
    notes = notes or {}
    scale, unit_name = answers.scale()
    scene, unit, few = units_of(answers)
    places = Places(per_centimetre(answers, scale), scene, unit, seed)
    every = [*swaps.implied, *swaps.values]
    if (units := int(unit.max()) + 1) < FEW:
        few = f"{units} scenes; it needs {FEW} to tell one side from chance"
        return dataclasses.replace(_nothing(answers, every, few, units), training=training)
    found: dict[str, tuple[list[SwapEffect], float, float]] = {}  # swaps, p, null (nan: direction known)
    why: dict[str, str] = {}
    for factor, told in swaps.implied.items():
        names = ("own", "other", "own there", "other there", "expert", "expert there")
        cells = {name: _flat(answers.chunks(f"{factor} {name}"), scale) for name in names}
        one = known_pair(told, cells, scene, unit, seed)
        if one is None:
            why[factor] = "neither its actions nor the expert's follow the target from one implied place to the other"
        else:
            found[factor] = [one[0]], flipped([one[1]], seed, factor), math.nan
    follows = places.strength >= FOLLOWS
    for factor, values in swaps.values.items():
        if not follows:
            why[factor] = "its actions do not follow the target, so no swap can be told in centimetres of it"
            continue
        acted = {swaps.unchanged(factor): _flat(answers.chunks(BASE), scale)}
        acted |= {value: _flat(answers.chunks(f"{factor}={value}"), scale) for value in values}
        ways = [*itertools.combinations(acted, 2)]
        pairs = [places.pair((a, b), acted[b] - acted[a], len(ways)) for a, b in ways]
        # the clearest first; of equally clear ones the largest
        best = sorted((pair for pair, _ in pairs), key=lambda pair: (-round(pair.score, 9), -pair.response.value))
        sums = [one for _, one in pairs]
        null = length_by_chance(sums, np.bincount(unit), seed, factor)
        found[factor] = best, flipped(sums, seed, factor), null
    corrected = dict(zip(found, holm([p for _, p, _ in found.values()]), strict=True))
    findings = []
    for factor in every:
        if factor in why:
            findings.append(undefined(NAME, UNIT, why[factor], n=units, subject=_subject(answers, factor)))
            continue
        pairs_, p, null = found[factor]
        unclear = "" if math.isnan(null) else notes.get(factor, "no data were given")
        lines = tuple(_line(factor, pair, p, corrected[factor], unclear) for pair in pairs_)
        verdict, named = _verdict(lines[0], training)
        notes_ = few, f"direction unknown: {unclear}" if unclear else "", BY_EXPERT * (pairs_[0].by == EXPERT)
        begun = ", ".join(f"{name} {value:g}" for name, value in swaps.base.items())
        caveats = filter(None, (*notes_, begun and f"{BEGUN}, {begun}"))
        findings.append(Finding(
            name=NAME, subject=_subject(answers, factor), value=pairs_[0].response, unit=UNIT,
            null=null if unclear else 0.0, verdict=verdict, card=verdict if named else "",
            table=tuple(line | {"named": named if i == 0 else None} for i, line in enumerate(lines)),
            caveats=(*caveats, f"a change of 1 is {unit_name}"),
        ))  # fmt: skip
    robot = undefined(NAME, UNIT, ROBOT, subject=_subject(answers, "robot"))
    return Findings((*findings, robot), training)


def _subject(answers: Answers, factor: str) -> str:
    return f"{answers.policy}, {factor}"


def _nothing(answers: Answers, factors: Sequence[str], why: str, n: int) -> Findings:
    return Findings(tuple(undefined(NAME, UNIT, why, n=n, subject=_subject(answers, factor)) for factor in factors))


def _line(factor: str, pair: SwapEffect, p: float, corrected: float, unknown: str) -> dict[str, Any]:
    """Returns the figures of a swap; `unknown` is why its direction is, "" where it is known."""
    return {
        "factor": factor, "from": pair.values[0], "to": pair.values[1], "response_cm": pair.response.value,
        "low": pair.response.low, "high": pair.response.high, "p": p, "p (Holm)": corrected, "beta": pair.beta.value,
        "beta low": pair.beta.low, "beta high": pair.beta.high, "consistent share": pair.share, "rest_cm": pair.rest,
        "along place": pair.along, "along": pair.by, "x": pair.direction[0], "y": pair.direction[1],
        "direction": "unknown" if unknown else "known", "why unknown": unknown,
    }  # fmt: skip


def _verdict(line: Mapping[str, Any], training: tuple[int, int] | None) -> tuple[str, bool | None]:
    """Returns what is said of a factor, and whether it is named: None where nothing is, for what the policy can do."""
    swap = f"{line['factor']} {_told(line['from'])} -> {_told(line['to'])}"
    figures = f"{line['response_cm']:+.1f} cm ({line['low']:+.1f} to {line['high']:+.1f}), p {line['p (Holm)']:.2g}"
    known, response = line["direction"] == "known", line["response_cm"]
    if training is None:
        return f"not labelled, success as in training is unknown; {swap}: {figures}", None
    if training[0] < CAPABLE_FROM * training[1]:
        k, n = training
        return f"not labelled, incapable: it succeeds in {k} of {n} episodes as in training; {swap}: {figures}", None
    if line["p (Holm)"] <= ALPHA and abs(response) >= LEAST:
        if known and response > 0:
            part = f"{100 * line['beta']:.0f} % of the way to where the data had the target on average"
            does = "takes" if line["beta"] >= WHOLLY else "leans on"
            return f"{does} {line['factor']} for the target's place: {swap} sends it {part}, {figures}", True
        if known:
            return f"goes away from what {line['factor']} implies: {swap}, {figures}", True
        if response > 0:
            side = f"x {line['x']:+.1f}, y {line['y']:+.1f}"
            why = f"whether training taught it is not known ({line['why unknown']})"
            return f"goes to one side with {line['factor']}: {swap} is worth {figures}, towards {side}; {why}", True
    moved = math.hypot(line["rest_cm"], response) if not math.isnan(line["rest_cm"]) else abs(response)
    if moved >= LEAST:
        either = f"{line['rest_cm']:.1f} cm either way"
        return f"moves with {line['factor']}, to which side is not shown: {swap}, {figures}; {either}", False
    return f"hardly moves with {line['factor']}: {swap}, {figures}", False


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def counterfactual_of(asked: Asked) -> Findings:
    """Answers for one policy: what its data imply is known, the rest has no direction."""
    implied: dict[str, Implied] = {}
    notes: dict[str, str] = {}
    if asked.trained_on:
        try:
            factors, where = read_episodes(asked.trained_on)
        except ConfigError as error:
            notes = dict.fromkeys(VALUES, f"the data do not tell: {error}")
        else:
            implied, notes = implied_of(factors, where, asked.seed)
            silent = {name: "the data do not tell this factor" for name in VALUES if name not in factors}
            notes = silent | notes
    values = {**VALUES, **levels_beside(asked.base_look)}
    swaps = Swaps({name: values[name] for name in VALUES if name not in implied}, implied, asked.base_look)
    training = None
    if asked.trials:
        with asked.playing() as pool:
            training = own_success(asked, pool)
    return answered(asked, swaps, training, notes)


def answered(
    asked: Asked, swaps: Swaps, training: tuple[int, int] | None, notes: Mapping[str, str] | None = None
) -> Findings:
    """Looks, and answers for one policy; arguments as of `counterfactual`."""
    config = EvaluateConfig(asked.policy, asked.objects, trials=asked.scenes, seed=asked.seed, remote=asked.remote)
    with asked.playing() as pool:
        answers = look_along(config, asked.looks, swaps, along=asked.along, free_only=True, pool=pool)
    return counterfactual(answers, swaps, seed=asked.seed, training=training, notes=notes)
