"""How much what is seen tells of what to do: normalised mutual information of factors over a mixture's episodes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Indices
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.contingency import counted, is_large, nmi_interval, shuffled, told
from toyshift.diagnostics.statistics import holm

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

BINS = 9  # of a number that takes more values than this; in steps of equal width
RESAMPLES = 500
ALARMS = 0.05  # share of diagnoses of independent factors in which any pair is called dependent
# these change what has to be done; all others what is seen, or who acts
RELEVANT_SHIFTS = ("object-size", "object-pose", "object-mass", "object-friction")
DATASET = "dataset"

Values = Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Pair:
    """The dependence between two factors.

    Attributes:
        relevant: u, what the task depends on.
        irrelevant: v, what it does not.
        nmi: 2 I(u; v) / (H(u) + H(v)), with Miller and Madow's correction for counting; 0 where independent, 1 where
            each tells the other.
        low: end of the 95 % interval (a bootstrap by test inversion, `contingency.nmi_interval`).
        high: the other end, which is larger; nmi lies between them or is one of them.
        chance: what as many episodes measure on average when v is dealt out at random: the bias that is left, large
            where values are many and episodes few.
        p_value: share of such shuffles that measure at least as much.
        values: number of values (or bins) of u and of v that occur.
        p_holm: p value, corrected for all pairs that were measured.
        seen_from: what would have to be measured for the smallest p value that counts among so many pairs: weaker
            dependence may go unseen.
        guess: share of the episodes whose u is guessed right by the most frequent one at their v.
        blind: that share where v is dealt out at random; no less than that of the most frequent u.
        overlap: of u and of v: share of two datasets' episodes that have it in common, mean over pairs of datasets; 0
            where no dataset shows what another one shows. None of one dataset.
        inside: the dependence within datasets, where it is asked for.
    """

    relevant: str
    irrelevant: str
    nmi: float
    low: float
    high: float
    chance: float
    p_value: float
    values: tuple[int, int]
    p_holm: float
    seen_from: float
    guess: float
    blind: float
    overlap: tuple[float, float] | None = None
    inside: Within | None = None

    @property
    def dependent(self) -> bool:
        """Whether this is more than chance, among all pairs that were measured."""
        return self.p_holm <= ALARMS


@dataclasses.dataclass(frozen=True)
class Within:
    """The dependence between two factors within datasets, mean over those in which both vary, weighed by episodes.

    Attributes:
        nmi: as of `Pair`; nan where no dataset has both.
        chance: what it is on average when v is dealt out at random within each dataset.
        p_value: share of such shuffles that measure at least as much.
    """

    nmi: float
    chance: float
    p_value: float


@dataclasses.dataclass(frozen=True)
class Dependences:
    """Every pair of factors that both vary over the episodes, the strongest first; and those that are the same in all.

    Attributes:
        episodes: of all datasets together.
        pairs: see `Pair`.
        constant: names of the factors that do not vary.
        untold: names of the factors that some datasets tell and others do not: nothing is known of these.
    """

    episodes: int
    pairs: tuple[Pair, ...]
    constant: tuple[str, ...]
    untold: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        result = dataclasses.asdict(self)
        for pair in result["pairs"]:
            if pair["inside"] and math.isnan(pair["inside"]["nmi"]):
                pair["inside"] = None
        return result


def factors_of(metas: Sequence[Mapping[str, Any]], robot: str = "") -> tuple[dict[str, Values], dict[str, Values]]:
    """Returns the task-relevant and the task-irrelevant factors that the meta data of a dataset's N episodes tell.

    Relevant are the target's identity and place on the table [m], the instruction, and shifts of the object's size,
    mass, friction and placing; irrelevant the look (viewpoint, light, textures, colour), the other shifts, the robot.
    """
    from toyshift.envs.shift_table import SHIFT_FACTORS

    factors = [meta.get("factors", {}) for meta in metas]
    relevant: dict[str, list[Any]] = {
        "object": [meta.get("object_id") for meta in metas], "instruction": [meta.get("task") or None for meta in metas]
    }
    planted = [row.get("sub_dataset", {}).get("position") for row in factors]  # y from the middle of the table
    poses = [meta.get("object_pose") for meta in metas]
    x, y = ([None if pose is None else pose[axis][3] for pose in poses] for axis in (0, 1))
    relevant |= {"position.x": x} | ({"position.y": y} if None in planted else {"position": planted})
    looks = [row.get("look", {}) for row in factors]
    names = sorted({name for look in looks for name in look})
    irrelevant: dict[str, list[Any]] = {name: [look.get(name) for look in looks] for name in names}
    for name, shift in SHIFT_FACTORS.items():
        if any(name in row for row in factors):
            side = relevant if name in RELEVANT_SHIFTS else irrelevant
            side[name] = [row.get(name, shift.start) for row in factors]
    if robot:
        irrelevant["robot"] = [robot] * len(metas)

    def told(side: dict[str, list[Any]]) -> dict[str, Values]:
        return {name: values for name, values in side.items() if None not in values}

    return told(relevant), told(irrelevant)


def encode(name: str, values: Values) -> Indices:
    """Returns a whole number (N,) for each value: equal values or values of a bin have the same.

    Factors of `data.collecting.factors` have its bins.
    """
    from toyshift.data.collecting.factors import FACTORS, bin_of

    numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numeric or len(set(values)) <= BINS:
        return np.unique([str(v) for v in values], return_inverse=True)[1].astype(np.int64)
    numbers = np.asarray(values, np.float64)
    row = FACTORS.get(name)
    if row is not None and row.low <= numbers.min() and numbers.max() <= row.high and name != "object":
        edges = row.edges()
    elif np.ptp(numbers) < 1e-6:  # rounding of a simulation
        return np.zeros(len(numbers), np.int64)
    else:
        edges = np.linspace(numbers.min(), numbers.max(), BINS + 1)
    return np.unique(bin_of(numbers, edges), return_inverse=True)[1].astype(np.int64)


def measure_pair(
    names: tuple[str, str], u: Indices, v: Indices, rng: np.random.Generator, shuffles: int = RESAMPLES, pairs: int = 1
) -> Pair:
    """Measures the dependence of two factors that both vary, (N,) codes each, as one of several pairs."""
    value, guess = told(u, v)
    first = min(shuffles, RESAMPLES) if is_large(u, v) else shuffles
    chance, blind = shuffled(u, v, rng, first)
    if first < shuffles and np.mean(chance >= value - 1e-12) <= ALARMS:  # else more could not make it dependent
        more = shuffled(u, v, rng, shuffles - first)
        chance, blind = np.append(chance, more[0]), np.append(blind, more[1])
    seen_from = float(np.quantile(chance, 1 - ALARMS / pairs))
    if len(chance) < shuffles:  # estimates of large tables are about normal
        seen_from = float(chance.mean() + NormalDist().inv_cdf(1 - ALARMS / pairs) * chance.std())
    low, high = nmi_interval(u, v, chance, rng)
    p_value = (1 + int(np.sum(chance >= value - 1e-12))) / (1 + len(chance))
    return Pair(
        *names, value, low, high, float(chance.mean()), p_value, (int(u.max()) + 1, int(v.max()) + 1),
        p_holm=min(1.0, pairs * p_value), seen_from=seen_from, guess=guess, blind=float(blind.mean()),
    )  # fmt: skip


def measure_inside(u: Indices, v: Indices, dataset: Indices, rng: np.random.Generator) -> Within:
    """Measures the dependence of two factors (N,) within each of several datasets."""
    value, chance, episodes = 0.0, np.zeros(RESAMPLES), 0
    for number in range(int(dataset.max()) + 1):
        of_it = dataset == number
        n = int(of_it.sum())
        of_u, of_v = (np.unique(codes[of_it], return_inverse=True)[1] for codes in (u, v))
        if n and min(int(of_u.max()), int(of_v.max())) > 0:
            value += n * told(of_u, of_v)[0]
            chance += n * shuffled(of_u, of_v, rng, RESAMPLES)[0]
            episodes += n
    if not episodes:
        return Within(math.nan, math.nan, math.nan)
    value, chance = value / episodes, chance / episodes
    p_value = (1 + int(np.sum(chance >= value - 1e-12))) / (1 + RESAMPLES)
    return Within(value, float(chance.mean()), p_value)


def overlap(codes: Indices, dataset: Indices) -> float:
    """Returns what share of two datasets' episodes have a factor (N,) in common, mean over pairs of datasets."""
    shares = counted(dataset, codes).astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    both = [np.minimum(a, b).sum() for i, a in enumerate(shares) for b in shares[i + 1 :]]
    return float(np.mean(both))


def measure_dependence(
    datasets: Mapping[str, tuple[Mapping[str, Values], Mapping[str, Values]]], seed: int = 0,
    resamples: int | None = None,
) -> Dependences:
    """Measures all pairs over the episodes of all datasets together, each episode counting the same.

    Args:
        datasets: name -> relevant and irrelevant factors, see `factors_of`; factors that a dataset does not tell are
            left out. Of several datasets the dataset itself is one more irrelevant factor: what tells it apart is what
            a policy may take for a rule.
        seed: of shuffles and bootstrap.
        resamples: shuffles of each pair; None takes 500, or 40 for each pair, without which no p value could be small
            enough among so many; a pair of more than 1,000 cells stops at 500 where these say that it is no more than
            chance.

    Raises:
        ConfigError: there is no dataset.
    """
    if not datasets:
        raise ConfigError("no dataset to measure")
    sides: list[dict[str, Indices]] = []
    untold: list[str] = []
    for side in range(2):
        parts = [factors[side] for factors in datasets.values()]
        names = list(dict.fromkeys(name for part in parts for name in part))
        shared = [name for name in names if all(name in part for part in parts)]
        untold += [name for name in names if name not in shared]
        sides.append({name: encode(name, [value for part in parts for value in part[name]]) for name in shared})
    lengths = [max((len(v) for side in factors for v in side.values()), default=0) for factors in datasets.values()]
    dataset = np.repeat(np.arange(len(datasets)), lengths)
    sides[1][DATASET] = dataset
    varying = [{name: codes for name, codes in side.items() if len(codes) and codes.max() > 0} for side in sides]
    count = len(varying[0]) * len(varying[1])
    shuffles = resamples or max(RESAMPLES, 40 * count)
    pairs = [
        measure_pair((a, b), u, v, episode_rng(seed, 0, f"dependence {a} {b}"), shuffles, count)
        for a, u in varying[0].items() for b, v in varying[1].items()
    ]  # fmt: skip
    corrected = holm([pair.p_value for pair in pairs])
    pairs = [dataclasses.replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)]
    if min(lengths) and len(datasets) > 1:
        several = {name: overlap(codes, dataset) for side in varying for name, codes in side.items()}
        pairs = [dataclasses.replace(p, overlap=(several[p.relevant], several[p.irrelevant])) for p in pairs]
        pairs = [_with_inside(pair, varying, dataset, seed) for pair in pairs]
    pairs.sort(key=lambda pair: -(pair.nmi - pair.chance))
    kept = {*varying[0], *varying[1], DATASET}
    constant = tuple(name for side in sides for name in side if name not in kept)
    return Dependences(sum(lengths), tuple(pairs), constant, tuple(untold))


def _with_inside(pair: Pair, varying: Sequence[Mapping[str, Indices]], dataset: Indices, seed: int) -> Pair:
    """Returns a pair that is dependent with the dependence within datasets, others as they are."""
    if not pair.dependent or pair.irrelevant == DATASET:
        return pair
    u, v = varying[0][pair.relevant], varying[1][pair.irrelevant]
    rng = episode_rng(seed, 0, f"dependence inside {pair.relevant} {pair.irrelevant}")
    return dataclasses.replace(pair, inside=measure_inside(u, v, dataset, rng))


def dependence_of(asked: Asked) -> Dependences:
    """Measures the factors of datasets' episodes."""
    factors = {name: factors_of(outline.metas, outline.robot) for name, outline in asked.outlines.items()}
    return measure_dependence(factors, asked.seed)


def dependence_table(result: Dependences) -> str:
    """Returns the pairs as text for terminals, each with what chance alone would measure."""
    from toyshift.diagnostics.tables import interval, render_table

    if not result.pairs:
        same = ", ".join(result.constant) or "nothing is recorded"
        none = "no task-relevant and task-irrelevant factor both vary"
        return f"{none} over these {result.episodes} episodes (the same in all: {same})"
    lines = [
        [
            f"{p.relevant} - {p.irrelevant}", f"{p.nmi:.3f}", interval(p.low, p.high, 3), f"{p.chance:.3f}",
            f"{p.p_value:.3f}", f"{p.values[0]} x {p.values[1]}",
        ]
        for p in result.pairs
    ]
    return render_table(["relevant - irrelevant", "NMI", "95 %", "by chance", "p", "values"], lines)
