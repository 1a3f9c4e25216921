"""Sub-datasets with a dial: how wide each is, how far apart they lie, and how much what is seen tells of what to do.

Within a sub-dataset the task-relevant factor u and the task-irrelevant factor v are independent; the dependence that a
policy can mistake for a rule arises in the mixture. Both are drawn from ranges that state it exactly, so that it is
known before anything is recorded: see `Fragmentation.joint`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.information import normalised_mutual_information
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.factors import BINS, FACTORS, ROUNDING, factor_of, range_in_bins
from toyshift.envs.robots import ROBOTS
from toyshift.envs.shifts import FACTORS as LOOK_FACTORS
from toyshift.envs.shifts import Look
from toyshift.envs.tasks.grasp import GraspEnv

SLACK = 1e-9  # of a span: rounding


@dataclasses.dataclass(frozen=True)
class Range:
    """A uniform range of a factor, in its unit, and the share of the episodes that draw from it; or one value."""

    low: float
    high: float
    share: float = 1.0


def _normal(name: str) -> tuple[Range, ...]:
    return (Range(*FACTORS[name].normal),)


@dataclasses.dataclass(frozen=True)
class SubDataset:
    """The ranges of every factor: what episodes of this sub-dataset are drawn from, independently of each other.

    Attributes:
        name: its folder.
        position: target's place across the table [m]; see `factors.FACTORS` for this and all others.
        object: targets, as shares of the object set in its order.
        azimuth: viewpoint [deg].
        light: lights' intensity.
        table: textures of the table.
        background: textures of floor and wall.
        object_colour: colours of the target.
        robot: the robot; one, because a dataset has one action contract.
    """

    name: str
    position: tuple[Range, ...] = _normal("position")
    object: tuple[Range, ...] = _normal("object")
    azimuth: tuple[Range, ...] = _normal("azimuth")
    light: tuple[Range, ...] = _normal("light")
    table: tuple[Range, ...] = _normal("table")
    background: tuple[Range, ...] = _normal("background")
    object_colour: tuple[Range, ...] = _normal("object_colour")
    robot: tuple[Range, ...] = _normal("robot")

    def __post_init__(self) -> None:
        for name, factor in FACTORS.items():
            ranges, slack = self.ranges(name), SLACK * factor.half
            who = f"sub-dataset {self.name!r}: {name}"
            shares = [r.share for r in ranges]
            if not ranges or abs(sum(shares) - 1.0) > 1e-6 or not all(share > 0 for share in shares):
                raise ConfigError(f"{who} needs ranges whose positive shares add up to 1, got {shares}")
            for r in ranges:
                if not factor.low - slack <= r.low <= r.high <= factor.high + slack:  # refuses NaN as well
                    span = f"{factor.low:g} to {factor.high:g} {factor.unit}"
                    raise ConfigError(f"{who} has the range {r.low:g} to {r.high:g}; ranges lie within {span}")
        if len(self.robot) > 1 or self.robot[0].high > _choice(self.robot[0].low, "robot") + 1:
            raise ConfigError(
                f"sub-dataset {self.name!r}: a dataset has one action contract, so one robot; "
                f"with factor 'robot' use correlation 1 and diversity 0"
            )

    def ranges(self, factor: str) -> tuple[Range, ...]:
        """Returns the ranges of a factor."""
        found: tuple[Range, ...] = getattr(self, factor)
        return found

    @property
    def robot_name(self) -> str:
        """Name of the robot in the registry."""
        return list(ROBOTS)[_choice(self.robot[0].low, "robot")]

    def draw(self, rng: np.random.Generator) -> dict[str, float]:
        """Draws a value of every factor, choices as whole numbers; each takes two numbers of `rng` in any case."""
        drawn: dict[str, float] = {}
        for name, factor in FACTORS.items():
            which, where = rng.random(2)
            ranges = self.ranges(name)
            reached = np.cumsum([r.share for r in ranges])
            r = ranges[min(int(np.searchsorted(reached, which, side="right")), len(ranges) - 1)]
            value = r.low + where * (r.high - r.low)
            drawn[name] = _choice(value, name) if factor.count else value
        return drawn

    def masses(self, factor: str, edges: Array) -> Array:
        """Returns the probability of each bin of a factor."""
        return np.asarray(sum(r.share * range_in_bins(r.low, r.high, edges) for r in self.ranges(factor)))


def _choice(value: float, factor: str) -> int:
    """Returns the number of the choice that a value stands for."""
    return min(math.floor(value + ROUNDING), FACTORS[factor].count - 1)


@dataclasses.dataclass(frozen=True)
class Fragmentation:
    """Sub-datasets of equal size, and the dials they were made with; see `fragment`."""

    diversity: float
    disparity: float
    correlation: float
    factor: str
    relevant: str
    relevant_diversity: float
    relevant_disparity: float
    bins: int
    parts: tuple[SubDataset, ...]

    def edges(self, objects: int = 0) -> tuple[Array, Array]:
        """Returns the edges of the bins of u and of v; `objects` is the size of the object set."""
        u, v = (FACTORS[name].edges(self.bins, objects) for name in (self.relevant, self.factor))
        return u, v

    def cells(self, objects: int = 0) -> Array:
        """Returns the joint distribution of binned u and v within each sub-dataset, a product: (m, A, B)."""
        u, v = self.edges(objects)
        return np.stack([np.outer(part.masses(self.relevant, u), part.masses(self.factor, v)) for part in self.parts])

    def joint(self, objects: int = 0) -> Array:
        """Returns the joint distribution of binned u and v in the mixture, exactly: (A, B).

        P(a, b) = 1/m sum_i p_i(a) [rho q_i(b) + (1 - rho)/m sum_j q_j(b)] with rho the correlation, where p_i and q_i
        are the shares of the ranges of u and v that lie in a bin. Where ranges of different sub-datasets share no bin,
        I(u; v) = log m - H(rho + (1-rho)/m, (1-rho)/m, ...) and H(u) = log m + mean_i H(p_i), the same for v: with
        rho = 1, NMI = 2 log m / (2 log m + mean_i [H(p_i) + H(q_i)]).
        """
        return np.asarray(self.cells(objects).mean(axis=0))

    def planted(self, objects: int = 0) -> float | None:
        """Returns the normalised mutual information of binned u and v in the mixture.

        None where neither varies by more than a bin.
        """
        value = float(normalised_mutual_information(self.joint(objects)))
        return None if math.isnan(value) else max(0.0, value)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def fragment(
    m: int, *, diversity: float, disparity: float, correlation: float, factor: str = "azimuth",
    relevant: str = "position", relevant_diversity: float | None = None, relevant_disparity: float | None = None,
    bins: int = BINS,
) -> Fragmentation:
    """Makes m sub-datasets whose width, distance and dependence are set independently of each other.

    Centres lie evenly on the factor's span, the outermost `disparity` half spans apart; every range reaches `diversity`
    / 2 half spans to either side. So two sub-datasets touch where diversity = disparity, and overlap beyond. With
    "azimuth" the half span is the 60 degrees in which the published settings of MiniVLA are measured; those keep
    disparity = 1 - diversity.

    Args:
        m: how many, at least 2.
        diversity: how wide the ranges are, at least 0.
        disparity: how far apart the outermost centres are, at least 0; diversity + disparity is at most 2.
        correlation: 0 to 1. Episodes of sub-dataset i draw v from range i with this probability, else from the range of
            a sub-dataset chosen at random. It is Cramer's V of (range of u, range of v), for m = 2 Pearson's
            correlation.
        factor: the task-irrelevant v.
        relevant: the task-relevant u.
        relevant_diversity: that of u, or None: the same.
        relevant_disparity: that of u, or None: the same.
        bins: of u and of v, for the dependence; odd, so that the middle of the span is the middle of a bin. With 9,
            values less than 2/9 half spans apart (13 degrees, 2.2 cm) may count as the same; more bins tell them apart
            and need more episodes.

    Raises:
        UnknownNameError: of a factor.
        ConfigError: a dial out of range.
    """
    if not 2 <= m <= 1000:
        what = "at least 2 sub-datasets are needed for one to differ from another, and at most 1000 are made"
        raise ConfigError(f"m is {m}; {what}")
    if not 0.0 <= correlation <= 1.0:
        raise ConfigError(f"correlation is {correlation}; it must be between 0 and 1")
    if not 3 <= bins <= 999 or bins % 2 == 0:
        raise ConfigError(f"bins is {bins}; it must be an odd number of at least 3 and at most 999")
    u_diversity = diversity if relevant_diversity is None else relevant_diversity
    u_disparity = disparity if relevant_disparity is None else relevant_disparity
    own = "" if relevant_diversity is None and relevant_disparity is None else "relevant_"
    u = _spread(m, relevant, True, u_diversity, u_disparity, own)
    v = _spread(m, factor, False, diversity, disparity)
    parts = []
    for i in range(m):
        shares = [(1.0 - correlation) / m + (correlation if i == j else 0.0) for j in range(m)]
        seen = tuple(Range(*v[j], share) for j, share in enumerate(shares) if share > 0)
        ranges = {relevant: (Range(*u[i]),), factor: seen}
        parts.append(SubDataset(f"part-{i}", **ranges))
    return Fragmentation(
        diversity, disparity, correlation, factor, relevant, u_diversity, u_disparity, bins, tuple(parts)
    )


def _spread(
    m: int, name: str, relevant: bool, diversity: float, disparity: float, own: str = ""
) -> list[tuple[float, float]]:
    factor = factor_of(name, relevant)
    if not (diversity >= 0.0 and disparity >= 0.0 and diversity + disparity <= 2.0 + SLACK):
        raise ConfigError(
            f"{name}: {own}diversity is {diversity} and {own}disparity {disparity}; "
            f"neither may be negative, and together they are at most 2: the whole span"
        )
    centres = (factor.low + factor.high) / 2 + np.linspace(-0.5, 0.5, m) * disparity * factor.half
    reach = diversity / 2 * factor.half
    return [(float(max(c - reach, factor.low)), float(min(c + reach, factor.high))) for c in centres]


def begin(
    env: GraspEnv, part: SubDataset, seed: int, index: int
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """Starts episode `index` of a sub-dataset: resets to factors drawn from (seed, index), and moves the target.

    Returns:
        observation, info, and the factors as they are in the environment.
    """
    drawn = part.draw(episode_rng(seed, index, "sub-dataset"))
    look = Look(**{name: drawn[name] for name in LOOK_FACTORS})  # type: ignore[arg-type]  # choices are whole numbers
    number = min(int(drawn["object"] * len(env.objects) + ROUNDING), len(env.objects) - 1)
    _, info = env.reset(seed=seed, options={"episode": index, "object": number, "look": look})
    middle = env.config.centre[1]
    env.move_object(0.0, middle + drawn["position"] - float(env.object_position()[1]))
    found = {
        "position": float(env.object_position()[1]) - middle, "object": (number + 0.5) / len(env.objects),
        **{name: getattr(env.look, name) for name in LOOK_FACTORS}, "robot": list(ROBOTS).index(env.config.robot),
    }
    return env.observe(), info, found


def recorded(metas: Sequence[Mapping[str, Any]], factor: str, where: str) -> Array:
    """Returns a factor's value in each episode (N,), from the episodes' meta data.

    Raises:
        ConfigError: an episode does not tell it.
    """
    values = [meta.get("factors", {}).get("sub_dataset", {}).get(factor) for meta in metas]
    if None in values:
        raise ConfigError(
            f"{where}: episode {values.index(None)} does not tell the factor {factor!r} it was drawn with; "
            f"collect it with `toyshift data fragment`"
        )
    return np.asarray(values, dtype=np.float64)
