"""How much what is seen tells of what to do: normalised mutual information of factors over a mixture's episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Indices
from toyshift.core.errors import ConfigError
from toyshift.core.information import estimated_mutual_information
from toyshift.core.seeds import episode_rng

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

BINS = 9  # of a number that takes more values than this; in steps of equal width
RESAMPLES = 500
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
        low: end of the 95 % interval (1.96 standard errors, bootstrap over episodes).
        high: the other end.
        chance: what as many episodes measure on average when v is dealt out at random: the bias that is left, large
            where values are many and episodes few.
        p_value: share of such shuffles that measure at least as much.
        values: number of values (or bins) of u and of v that occur.
    """

    relevant: str
    irrelevant: str
    nmi: float
    low: float
    high: float
    chance: float
    p_value: float
    values: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Dependences:
    """Every pair of factors that both vary over the episodes, the strongest first; and those that are the same in all.

    Attributes:
        episodes: of all datasets together.
        pairs: see `Pair`.
        constant: names of the factors that do not vary.
    """

    episodes: int
    pairs: tuple[Pair, ...]
    constant: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


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


def _counts(u: Indices, v: Indices) -> Indices:
    shape = (int(u.max()) + 1, int(v.max()) + 1)
    return np.bincount(u * shape[1] + v, minlength=shape[0] * shape[1]).reshape(shape)


def measure_pair(names: tuple[str, str], u: Indices, v: Indices, rng: np.random.Generator, resamples: int = RESAMPLES) -> Pair:
    """Measures the dependence of two factors that both vary, (N,) codes each."""
    counts = _counts(u, v)
    value = float(estimated_mutual_information(counts))
    shuffled = np.array([float(estimated_mutual_information(_counts(u, rng.permutation(v)))) for _ in range(resamples)])
    tables = rng.multinomial(len(u), counts.ravel() / len(u), size=resamples)
    drawn = [float(estimated_mutual_information(table.reshape(counts.shape))) for table in tables]
    error = 1.96 * float(np.nanstd(drawn))
    p_value = (1 + int(np.sum(shuffled >= value - 1e-12))) / (1 + resamples)
    sizes = (counts.shape[0], counts.shape[1])
    return Pair(*names, value, value - error, value + error, float(shuffled.mean()), p_value, sizes)


def measure_dependence(
    datasets: Mapping[str, tuple[Mapping[str, Values], Mapping[str, Values]]], seed: int = 0, resamples: int = RESAMPLES
) -> Dependences:
    """Measures all pairs over the episodes of all datasets together, each episode counting the same.

    Args:
        datasets: name -> relevant and irrelevant factors, see `factors_of`; factors that a dataset does not tell are
            left out. Of several datasets the dataset itself is one more irrelevant factor: what tells it apart is what
            a policy may take for a rule.
        seed: of shuffles and bootstrap.
        resamples: of each.

    Raises:
        ConfigError: there is no dataset.
    """
    if not datasets:
        raise ConfigError("no dataset to measure")
    sides: list[dict[str, Indices]] = []
    for side in range(2):
        parts = [factors[side] for factors in datasets.values()]
        shared = [name for name in parts[0] if all(name in part for part in parts)]
        sides.append({name: encode(name, [value for part in parts for value in part[name]]) for name in shared})
    lengths = [max((len(v) for side in factors for v in side.values()), default=0) for factors in datasets.values()]
    sides[1][DATASET] = np.repeat(np.arange(len(datasets)), lengths)
    varying = [{name: codes for name, codes in side.items() if len(codes) and codes.max() > 0} for side in sides]
    pairs = [
        measure_pair((a, b), u, v, episode_rng(seed, 0, f"dependence {a} {b}"), resamples)
        for a, u in varying[0].items() for b, v in varying[1].items()
    ]  # fmt: skip
    pairs.sort(key=lambda pair: -(pair.nmi - pair.chance))
    kept = {*varying[0], *varying[1], DATASET}
    return Dependences(sum(lengths), tuple(pairs), tuple(name for side in sides for name in side if name not in kept))


def episode_factors(folder: Path) -> tuple[dict[str, Values], dict[str, Values]]:
    """Returns the relevant and the irrelevant factors of a dataset folder's episodes."""
    from toyshift.data import open_dataset

    dataset = open_dataset(Path(folder))
    return factors_of([dataset.meta(i) for i in range(dataset.num_episodes)], str(dataset.info.get("robot_type", "")))


def dependence_of(asked: Asked) -> Dependences:
    """Measures the factors of datasets' episodes."""
    return measure_dependence({str(folder): episode_factors(folder) for folder in asked.datasets}, asked.seed)


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
