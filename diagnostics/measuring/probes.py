"""What linear probes read inside a network: the target's place, and which table, light or view it is.

Ridge regression for places, and class-balanced on one-hot levels for looks, on what each layer makes of a scene; every
answer is to objects that the probe was not fitted on. The *control* deals one answer to each object: what a probe of
that layer reaches where there is nothing to read. Accuracy minus control is the *selectivity* (Hewitt and Liang).

A concept is *admitted* (after "Overlooked Factors in Concept-Based Explanations") where two probes of disjoint objects
have alike coefficients, where it is learnt from pixels at least as well as the behaviour that it is to explain, and
where at most 32 are shown.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.features import image_features
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.inside import Inner, Inside, acted, encoded, inside_of, layers_of
from toyshift.diagnostics.statistics import Estimate, bootstrap_ratio
from toyshift.diagnostics.tables import interval

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "probes"
PLACE = "the target's place"
RIGHT, EXPLAINED = "right on other objects (balanced)", "of the variance explained on other objects (R2)"
FOLDS, INNER = 5, 3
DEALS = 10  # controls
RIDGES = tuple(10.0**power for power in (-4, -3, -2, -1, 0, 1, 2))  # of features whose mean variance is 1
NEAR = 1.05  # the largest ridge with an error of at most this times the least is taken: its coefficients are stable
ALIKE = 0.7  # least cosine of two probes' coefficients
MOST = 32  # concepts that are shown


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be read in n looks.

    Attributes:
        answers: (n, k) numbers, or one-hot levels.
        classes: whether they are levels.
        objects: (n,) number of the target of each look.
    """

    answers: Array
    classes: bool
    objects: Indices

    @property
    def weights(self) -> Array:
        """How much each look counts (n,): every level the same."""
        if not self.classes:
            return np.ones(len(self.answers))
        level = self.answers.argmax(axis=1)
        return np.asarray(len(level) / np.bincount(level)[level] / self.answers.shape[1])

    @property
    def chance(self) -> float:
        """Score of a probe that sees nothing."""
        return 1.0 / self.answers.shape[1] if self.classes else 0.0

    def normal(self, score: float) -> float:
        """Returns a score with chance at 0 and all right at 1."""
        return (score - self.chance) / (1.0 - self.chance)

    def losses(self, predicted: Array) -> tuple[Array, Array]:
        """Returns each look's loss and what it would be without a probe, (n,): 1 - sum / sum is the score."""
        if self.classes:
            wrong = predicted.argmax(axis=1) != self.answers.argmax(axis=1)
            return self.weights * wrong, self.weights
        spread = ((self.answers - self.answers.mean(axis=0)) ** 2).sum(axis=1)
        return ((predicted - self.answers) ** 2).sum(axis=1), spread

    def score(self, predicted: Array, seed: int = 0) -> Estimate:
        """Returns accuracy or R2 with an interval over objects."""
        loss, without = self.losses(predicted)
        lost = bootstrap_ratio(loss, without, self.objects.tolist(), seed=seed)
        return Estimate(1.0 - lost.value, 1.0 - lost.high, 1.0 - lost.low, lost.n)

    def dealt(self, rng: np.random.Generator) -> Task:
        """Returns the control: each object has one answer for all its looks, drawn from those there are."""
        drawn = self.answers[rng.integers(len(self.answers), size=int(self.objects.max()) + 1)]
        if self.classes:  # every level about as often
            k = self.answers.shape[1]
            drawn = np.eye(k)[rng.permutation(np.arange(len(drawn)) % k)]
        return dataclasses.replace(self, answers=drawn[self.objects])


def ridge_paths(x: Array, y: Array, weights: Array) -> list[tuple[Array, Array]]:
    """Returns coefficients (D, k) and intercept (k,) of weighted ridge regressions for each of RIDGES.

    Features keep their own proportions, with one scale for all: scaled one by one, those that hardly vary would weigh
    as much as the others, and a new object throws them far out.
    """
    share = weights / weights.sum()
    centre, middle = share @ x, share @ y
    scale = float(np.sqrt((share @ (x - centre) ** 2).mean())) or 1.0  # 1: nothing varies
    root = np.sqrt(share)[:, None]
    z = root * (x - centre) / scale  # (n, D), whose squares add up to D
    values, vectors = np.linalg.eigh(z @ z.T)
    turned = vectors.T @ (root * (y - middle))
    out = []
    for ridge in RIDGES:
        coefficients = z.T @ (vectors @ (turned / (values.clip(min=0.0) + ridge)[:, None])) / scale
        out.append((coefficients, middle - centre @ coefficients))
    return out


def folds_of(objects: Indices, count: int, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.bool_], ...]]:
    """Yields (n,) masks of looks to fit on and to try, apart by object."""
    names = rng.permutation(np.unique(objects))
    for part in np.array_split(names, min(count, len(names))):
        test = np.isin(objects, part)
        yield ~test, test


def fitted(x: Array, tasks: Sequence[Task], seed: int) -> list[tuple[Array, Array]]:
    """Returns coefficients and intercept of a probe for each task of the same looks, at the ridge that its own folds
    choose.
    """
    k, weights = tasks[0].answers.shape[1], tasks[0].weights
    y = np.concatenate([task.answers for task in tasks], axis=1)  # (n, tasks * k)
    errors = np.zeros((len(RIDGES), len(tasks)))
    for fit, test in folds_of(tasks[0].objects, INNER, episode_rng(seed, 1, NAME)):
        for i, (coefficients, intercept) in enumerate(ridge_paths(x[fit], y[fit], weights[fit])):
            off = weights[test, None] * (x[test] @ coefficients + intercept - y[test]) ** 2
            errors[i] += off.sum(axis=0).reshape(len(tasks), k).sum(axis=1)
    paths = ridge_paths(x, y, weights)
    near = errors <= NEAR * errors.min(axis=0)
    best = len(RIDGES) - 1 - near[::-1].argmax(axis=0)
    return [
        (paths[best[t]][0][:, t * k : (t + 1) * k], paths[best[t]][1][t * k : (t + 1) * k]) for t in range(len(tasks))
    ]


def predictions(x: Array, tasks: Sequence[Task], seed: int) -> list[Array]:
    """Returns what a probe says to each look (n, k) from the looks at other objects, for each task of the same
    looks.
    """
    out = [np.zeros_like(task.answers) for task in tasks]
    for fit, test in folds_of(tasks[0].objects, FOLDS, episode_rng(seed, 0, NAME)):
        part = [dataclasses.replace(t, answers=t.answers[fit], objects=t.objects[fit]) for t in tasks]
        for predicted, (coefficients, intercept) in zip(out, fitted(x[fit], part, seed), strict=True):
            predicted[test] = x[test] @ coefficients + intercept
    return out


def agreement(x: Array, task: Task, seed: int) -> float:
    """Returns the cosine of two probes' coefficients that were fitted on disjoint halves of the objects."""
    first, second = (
        fitted(x[fit], [dataclasses.replace(task, answers=task.answers[fit], objects=task.objects[fit])], seed)[0][0]
        for fit, _ in folds_of(task.objects, 2, episode_rng(seed, 2, NAME))
    )
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / size if size > 0 else 0.0


def probed(x: Array, task: Task, seed: int = 0) -> tuple[Estimate, Array]:
    """Returns the score of a probe on a layer (n, D), and those of its controls (DEALS,), at least chance."""
    rng = episode_rng(seed, 3, NAME)
    tasks = [task, *(task.dealt(rng) for _ in range(DEALS))]
    own, *dealt = predictions(x, tasks, seed)
    controls = []
    for control, predicted in zip(tasks[1:], dealt, strict=True):
        loss, without = control.losses(predicted)
        controls.append(1.0 - loss.sum() / without.sum())
    return task.score(own, seed), np.maximum(task.chance, controls)


def concept(
    name: str, layers: Mapping[str, Array], task: Task, pixels: Array, behaviour: float, *, seed: int = 0,
    subject: str = "", read: str = "",
) -> Finding:
    """Returns how well a concept is read of each layer, and whether it is admitted.

    Args:
        name: of the concept.
        layers: layer -> (n, D).
        task: what is to be read.
        pixels: (n, D) features of the images alone.
        behaviour: R2 of the policy's actions from such features, on other objects.
        seed: of folds, controls and bootstrap.
        subject: whose layers they are.
        read: layer that the value is of.
    """
    unit = RIGHT if task.classes else EXPLAINED
    objects = len(np.unique(task.objects))
    if objects < FOLDS or not np.ptp(task.answers, axis=0).any():
        why = f"it takes {FOLDS} objects, there are {objects}" if objects < FOLDS else f"{name} never varies"
        return undefined(NAME, unit, why, n=objects, subject=subject)
    found = {layer: probed(x, task, seed) for layer, x in layers.items()}
    alike = {layer: agreement(x, task, seed) for layer, x in layers.items()}
    seen = task.score(predictions(pixels, [task], seed)[0], seed).value
    value, controls = found[read]
    null, high = float(controls.mean()), float(controls.max())
    lines: list[dict[str, Any]] = [
        {"layer": layer, "score": one.value, "low": one.low, "high": one.high, "control": float(dealt.mean()),
         "selectivity": one.value - float(dealt.mean()), "chance": task.chance, "halves agree": alike[layer]}
        for layer, (one, dealt) in found.items()
    ]  # fmt: skip
    refused = []
    if alike[read] < ALIKE:
        refused.append(f"probes of two halves of the objects differ (cosine {alike[read]:.2f}, least {ALIKE})")
    if task.normal(seen) < behaviour:
        rule = f"pixels tell it less well ({task.normal(seen):.2f}) than the actions that it is to explain"
        refused.append(f"{rule} ({behaviour:.2f})")
    span = f"{value.value:.2f} {interval(value.low, value.high)}, control {null:.2f}"
    few = too_few(objects, "objects")
    if few:
        verdict = f"too few objects to tell whether {name} is read from the {read} layer ({span})"
    elif value.low <= high:
        verdict = f"{name} cannot be shown to be read from the {read} layer ({span})"
    else:
        verdict = f"{name} is read from the {read} layer ({span})"
    verdict += f"; not admitted: {'; '.join(refused)}" if refused else "; admitted"
    caveats = (*few, f"from pixels: {seen:.2f}; the policy's actions from pixels: R2 {behaviour:.2f}",)
    return Finding(
        name=NAME, subject=subject, value=value, unit=unit, null=null, verdict=verdict,
        card="" if few or refused or value.low <= high else verdict, table=tuple(lines), caveats=caveats,
    )  # fmt: skip


def probes(inside: Inside, seed: int = 0) -> tuple[Finding, ...]:
    """Returns a finding for the target's place, one for each factor of the look, and one that sets them side by side.

    A factor is read of the looks unchanged and changed; the place of the looks in which nothing has touched the target.
    Values are those of the pooled views, which is what the rest of the network is told of the images.
    """
    policy = inside.policy
    concepts = (PLACE, *inside.factors)
    if not policy.cameras:
        why = "the network looks through no camera"
        return tuple(undefined(NAME, RIGHT, why, subject=f"{inside.name}, {name}") for name in concepts)
    objects = np.unique(np.array(inside.objects), return_inverse=True)[1]
    inner = encoded(policy, inside.shown[""])
    base, pixels = layers_of(policy, inner), _pixels(inside, "")
    behaviour = _behaviour(policy, inner, pixels, objects, seed)
    free = inside.free
    place = Task(inside.places[free], False, objects[free])
    told: dict[str, Any] = {"seed": seed, "read": "pooled"}
    found = {
        PLACE: concept(
            PLACE, {layer: x[free] for layer, x in base.items()}, place, pixels[free], behaviour,
            subject=f"{inside.name}, {PLACE}", **told,
        )
    }  # fmt: skip
    twice = np.tile(objects, 2)
    for factor in inside.factors[: MOST - 1]:
        changed = layers_of(policy, encoded(policy, inside.shown[factor]))
        level = np.unique(np.r_[np.zeros_like(inside.levels[factor]), inside.levels[factor]], return_inverse=True)[1]
        found[factor] = concept(
            f"the {factor.replace('_', ' ')}",
            {layer: np.concatenate([x, changed[layer]]) for layer, x in base.items()},
            Task(np.eye(int(level.max()) + 1)[level], True, twice),
            np.concatenate([pixels, _pixels(inside, factor)]), behaviour, subject=f"{inside.name}, {factor}", **told,
        )  # fmt: skip
    note = f"{len(found)} of {len(concepts)} concepts are shown, of at most {MOST}"
    noted = [dataclasses.replace(one, caveats=(*one.caveats, note)) for one in found.values()]
    return (*noted, beside(found, inside.name))


def beside(found: Mapping[str, Finding], name: str = "") -> Finding:
    """Returns how much better the best-read factor of the look is read than the target's place, chance at 0."""
    unit = "of the best-read factor's score (chance 0, all right 1) minus the place's R2"
    subject = f"{name}, look against target"
    place = found[PLACE]
    looks = {factor: one for factor, one in found.items() if factor != PLACE and not math.isnan(one.value.value)}
    if not looks or math.isnan(place.value.value):
        return undefined(NAME, unit, "the place or every factor is undefined", subject=subject)

    def normal(factor: str) -> tuple[float, float, float]:
        one = looks[factor]
        chance = float(one.table[0]["chance"])
        low, value, high = ((x - chance) / (1.0 - chance) for x in (one.value.low, one.value.value, one.value.high))
        return low, value, high

    best = max(looks, key=lambda factor: normal(factor)[1])
    low, value, high = normal(best)
    u = place.value
    # the interval of a difference from those of its sides (MOVER), as if they were independent
    less, more = np.hypot(value - low, u.high - u.value), np.hypot(high - value, u.value - u.low)
    gap = Estimate(value - u.value, value - u.value - float(less), value - u.value + float(more), u.n)
    span = f"{gap.value:+.2f} {interval(gap.low, gap.high)}"
    few = too_few(u.n, "objects")
    said = "better than" if gap.low > 0 else "worse than" if gap.high < 0 else "about as well as"
    verdict = f"the {best.replace('_', ' ')} is read {said} {PLACE} ({span})"
    if few:
        verdict = f"too few objects to tell whether look or target is read better ({span})"
    lines = [{"factor": factor, "normalised": normal(factor)[1], "place": u.value} for factor in looks]
    return Finding(
        name=NAME, subject=subject, value=gap, unit=unit, null=float("nan"), verdict=verdict, card="",
        table=tuple(lines), caveats=(*few, "what is read is not always used: patching and steer ask that",),
    )  # fmt: skip


def _pixels(inside: Inside, name: str) -> Array:
    """Returns features of the images alone (N, D), of all cameras."""
    images = inside.shown[name].images
    return np.concatenate([image_features(images[camera]) for camera in inside.policy.cameras], axis=1)


def _behaviour(policy: Any, inner: Inner, pixels: Array, objects: Indices, seed: int) -> float:
    """Returns R2 of the actions from pixels on other objects; 0 where they never vary, or nothing is learnt."""
    task = Task(acted(policy, inner), False, objects)
    if len(np.unique(objects)) < 2 or not np.ptp(task.answers, axis=0).any():
        return 0.0
    loss, without = task.losses(predictions(pixels, [task], seed)[0])
    return max(0.0, 1.0 - float(loss.sum() / without.sum()))


def probes_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder."""
    inside = inside_of(asked)
    if isinstance(inside, str):
        return Findings((undefined(NAME, RIGHT, inside, subject=asked.policy),))
    return Findings(probes(inside, asked.seed))
