"""Simulates comparisons that are looked at after every round: false alarms, coverage, episodes. For docs/sequential.md.

python benchmarks/sequential.py --out results/sequential          some minutes; goes on where it was

Object o has success rates a_o and b_o: a common difficulty, and an effect of its own whose standard deviation over
objects is `spread`. Both policies' successes follow from uniform numbers that are shared in a share `agree` of the
starts and independent in the others, which sets how often the policies differ. For *these objects* the rates are
shifted so that their mean gap is exact; for *new objects* they are drawn anew in every run. Every run is looked at
after every round until `MOST` pairs of episodes are played. docs/sequential.md shows table.json, which sums up.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.power import Design, episodes_needed, pairs_needed
from toyshift.diagnostics.sequential import BETS, NEW, THESE, PairedTest, log_capital

LEVEL, MOST = 0.05, 2000


@dataclasses.dataclass(frozen=True)
class World:
    """Two policies and the objects that they meet.

    Attributes:
        base: success rate of the second policy.
        gap: how much higher that of the first is.
        agree: share of the starts on which both policies have the same luck.
        spread: standard deviation over objects of the gap.
        objects: how many a round has.
        skewed: instead of `spread`: the gap is -0.9 on a tenth of the objects, 0.1 on the others, so 0 on average.
    """

    base: float = 0.6
    gap: float = 0.0
    agree: float = 0.4
    spread: float = 0.1
    objects: int = 40
    skewed: bool = False

    def rates(self, rng: np.random.Generator, runs: int, exact: bool) -> tuple[Array, Array]:
        """Returns both policies' rates (runs, K); `exact` shifts them to the very gap in each run.

        Raises:
            ConfigError: rates are cut at 0 or 1, and the population's mean gap is another one than `gap`. Without a gap
                both policies' are cut alike, and it stays 0.
        """
        shape, wide = (runs, self.objects), np.sqrt(3.0) * self.spread
        if self.skewed:
            lost = rng.random(shape) < 0.1
            return np.where(lost, 0.0, 1.0), np.full(shape, 0.9)
        low, high = sorted((self.base, self.base + self.gap))
        if self.gap and not exact and not 0.1 + wide / 2 <= low <= high <= 0.9 - wide / 2:
            raise ConfigError(f"rates around {low:g} and {high:g} are cut at 0 or 1, so their mean gap is another one")
        common, own = rng.uniform(-0.1, 0.1, shape), rng.uniform(-wide, wide, shape)
        a = np.clip(self.base + self.gap + common + own / 2, 0.0, 1.0)
        b = np.clip(self.base + common - own / 2, 0.0, 1.0)
        for _ in range(50 if exact else 0):  # rates that end at 0 or 1 hand their part to the others
            off = ((a - b).mean(axis=-1, keepdims=True) - self.gap) / 2
            a, b = np.clip(a - off, 0.0, 1.0), np.clip(b + off, 0.0, 1.0)
        return a, b

    def rounds(self, rng: np.random.Generator, runs: int, exact: bool) -> Iterator[Array]:
        """Yields differences (runs, K) without end."""
        a, b = self.rates(rng, runs, exact)
        while True:
            luck = rng.random(a.shape)
            other = np.where(rng.random(a.shape) < self.agree, luck, rng.random(a.shape))
            yield (luck < a).astype(np.float64) - (other < b)

    def discordance(self) -> float:
        """Share of starts in which one policy alone succeeds, by a large draw."""
        return float(np.abs(next(self.rounds(episode_rng(0, 0, "discordance"), 20_000, exact=False))).mean())


def watched(about: str, world: World, rng: np.random.Generator, runs: int, most: int = MOST) -> tuple[Array, Array]:
    """Plays runs side by side; returns the round (runs,) after which each refuted the true gap, and the gap 0.

    The latter counts only where the direction is right (or there is none); inf where it never happened.
    """
    against = sorted({0.0, world.gap})
    test = PairedTest.begin(about, world.objects, (runs,), against)
    wrong, found = np.full(runs, np.inf), np.full(runs, np.inf)
    rounds = world.rounds(rng, runs, exact=about == THESE)
    for number, differences in zip(range(1, max(1, most // world.objects) + 1), rounds, strict=False):
        test = test.after(differences)
        wrong[np.isinf(wrong) & ((test.low >= world.gap) | (test.high <= world.gap))] = number
        found[np.isinf(found) & ((test.low >= 0.0) if world.gap else (test.low >= 0.0) | (test.high <= 0.0))] = number
    return wrong, found


def peeking(about: str, world: World, rng: np.random.Generator, runs: int, most: int = MOST) -> dict[str, float]:
    """Returns false alarms of tests that are made for one look, where they are looked at after every round.

    McNemar's test is made for THESE objects, where the mean of their gaps is 0; Student's t over objects for NEW ones,
    where that of the population is.

    Args:
        about: which of these nulls is true.
        world: without a gap.
        rng: of the runs.
        runs: how many.
        most: pairs of episodes.
    """
    from scipy.stats import binom, t

    sums = squares = np.zeros((runs, world.objects))
    alarm = {"mcnemar, every round": np.zeros(runs, bool), "t over objects, every round": np.zeros(runs, bool)}
    rounds = world.rounds(rng, runs, exact=about == THESE)
    for number, differences in zip(range(1, most // world.objects + 1), rounds, strict=False):
        sums, squares = sums + differences, squares + differences**2
        apart, more = squares.sum(-1), sums.sum(-1)
        p = np.minimum(1.0, 2.0 * binom.cdf((apart - np.abs(more)) / 2, apart, 0.5))
        alarm["mcnemar, every round"] |= (p < LEVEL) & (apart > 0)
        means = sums / number
        error = means.std(axis=-1, ddof=1) / np.sqrt(world.objects)
        reach = t.ppf(1 - LEVEL / 2, world.objects - 1) * error
        alarm["t over objects, every round"] |= (np.abs(means.mean(-1)) > reach) & (error > 0)
    last = np.abs(means.mean(-1)) > reach
    shares = {name: float(found.mean()) for name, found in alarm.items()}
    return shares | {"mcnemar, once": float((p < LEVEL).mean()), "t over objects, once": float(last.mean())}


def unpaired(world: World, rng: np.random.Generator, runs: int, most: int = MOST) -> Array:
    """Returns after how many episodes per policy (runs,) an anytime test of two independent samples finds a gap.

    The e-variable for two proportions of Turner, Ly and Gruenwald ("Generic E-variables for exact sequential k-sample
    tests that allow for optional stopping", 2024): likelihood of both successes under running estimates (prior 0.18),
    over that under their mean.
    """
    wins, capital, found = np.zeros((2, runs)), np.zeros(runs), np.full(runs, np.inf)
    rates = np.array([world.base + world.gap, world.base])[:, None]
    for number in range(1, most + 1):
        guess = (wins + 0.18) / (number - 1 + 0.36)
        middle = guess.mean(axis=0)
        won = rng.random((2, runs)) < rates
        capital += np.log(np.where(won, guess / middle, (1 - guess) / (1 - middle))).sum(axis=0)
        wins += won
        found[np.isinf(found) & (capital >= np.log(1 / LEVEL))] = number
    return found


def round_means(world: World, rng: np.random.Generator, runs: int, most: int = MOST) -> Array:
    """Returns the round (runs,) in which betting on the mean of each round, as one value, finds the gap."""
    capital, found = np.zeros((runs, 1, len(BETS))), np.full(runs, np.inf)
    for number, values in zip(range(1, most // world.objects + 1), world.rounds(rng, runs, True), strict=False):
        capital = capital + log_capital(values.mean(-1, keepdims=True), np.zeros(1))
        evidence = np.exp(capital[:, 0]).mean(axis=-1)
        found[np.isinf(found) & (evidence >= 2 / LEVEL)] = number
    return found


def episodes(rounds: Array, objects: int) -> dict[str, float | None]:
    """Returns median and 80 % quantile of the pairs played (None where that many runs never ended), and who ended."""
    pairs = np.sort(rounds * objects)
    at = {name: pairs[int(np.ceil(q * len(pairs))) - 1] for name, q in (("median", 0.5), ("q80", 0.8))}
    ended = float(np.isfinite(pairs).mean())
    return {**{k: float(v) if np.isfinite(v) else None for k, v in at.items()}, "decided": ended}


def false_alarms(world: World, seed: int, number: int, runs: int) -> dict[str, Any]:
    """Returns the share of A/A runs that ever called a difference, by test."""
    most = MOST if world.objects > 1 else 500
    tests = (NEW,) if world.skewed else (THESE, NEW)  # skewed worlds have no gap over objects that are drawn
    wrong = {name: watched(name, world, episode_rng(seed, 100 + number, name), runs, most)[0] for name in tests}
    found = {name: float(np.isfinite(rounds).mean()) for name, rounds in wrong.items()}
    if world.objects != 40:
        return found
    rngs = {name: episode_rng(seed, 100 + number, f"peeking {name}") for name in tests}
    return found | {"peeking": {name: peeking(name, world, rng, runs) for name, rng in rngs.items()}}


def coverage(world: World, seed: int, number: int, runs: int) -> dict[str, Any]:
    """Returns the share of runs in which the confidence sequence held the true gap at every round, by test."""
    wrong = {name: watched(name, world, episode_rng(seed, 300 + number, name), runs)[0] for name in (THESE, NEW)}
    return {name: float(np.isinf(rounds).mean()) for name, rounds in wrong.items()}


def ten_points(world: World, seed: int, number: int, runs: int) -> dict[str, Any]:
    """Returns the pairs of episodes that each design needed for a true gap."""

    def rng(name: str) -> np.random.Generator:
        return episode_rng(seed, 200 + number, name)

    found = {name: watched(name, world, rng(name), runs)[1] for name in (THESE, NEW)}
    return {
        **{name: episodes(rounds, world.objects) for name, rounds in found.items()},
        "round_mean": episodes(round_means(world, rng("mean"), runs), world.objects),
        "unpaired": episodes(unpaired(world, rng("unpaired"), runs), 1),
        "fixed_paired": pairs_needed(world.gap, world.discordance(), alpha=LEVEL),
        "fixed_unpaired": episodes_needed(Design(world.base, world.gap, confidence=1 - LEVEL)),
    }


def worlds() -> dict[str, list[World]]:
    """Returns what is simulated, by part."""
    null = itertools.product((0.2, 0.5, 0.8), (0.0, 0.6, 0.9), (0.0, 0.2), (10, 40))
    gap = itertools.product((0.0, 0.4, 0.8), (0.0, 0.2), (10, 40))
    return {
        "false_alarms": [
            *(World(base, 0.0, agree, spread, objects) for base, agree, spread, objects in null),
            *(World(0.5, 0.0, agree, 0.0, 1) for agree in (0.0, 0.9)),
            *(World(0.9, 0.0, 0.4, 0.0, objects, skewed=True) for objects in (10, 40, 200)),
        ],
        "coverage": [
            World(base, gap, spread=spread)
            for base, gap in ((0.6, -0.2), (0.6, 0.1), (0.4, 0.3))
            for spread in (0.0, 0.2)
        ],
        "ten_points": [
            *(World(0.6, 0.1, agree, spread, objects) for agree, spread, objects in gap),
            *(World(0.6, 0.1, 0.4, spread, objects) for spread in (0.0, 0.1) for objects in (100, 250)),
        ],
    }


def table(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns least and most of what the lines of each part say, as docs/sequential.md shows them."""

    def ends(values: Iterable[float]) -> list[float]:
        every = list(values)
        return [min(every), max(every)]

    null, gaps = found["false_alarms"], [line for line in found["ten_points"] if line["objects"] <= 40]
    plain, skewed = ([line for line in null if line["skewed"] == yes] for yes in (False, True))
    alarms: dict[str, Any] = {
        name: {str(n): ends(line[name] for line in plain if line["objects"] == n) for n in (1, 10, 40)}
        for name in (THESE, NEW)
    }
    alarms["skewed"] = {str(line["objects"]): line[NEW] for line in skewed}
    peeked: dict[str, Any] = {}
    for about, test in itertools.product((THESE, NEW), null[-2]["peeking"][NEW]):
        lines = {f"{100 * s:g}": [x for x in plain if x["objects"] == 40 and x["spread"] == s] for s in (0.0, 0.2)}
        own = {spread: ends(x["peeking"][about][test] for x in some) for spread, some in lines.items()}
        more = {"skewed": null[-2]["peeking"][NEW][test]} if about == NEW else {}
        peeked.setdefault(about, {})[test] = own | more
    return {
        "false_alarms": alarms,
        "peeking": peeked,
        "coverage": {name: min(line[name] for line in found["coverage"]) for name in (THESE, NEW)},
        "saved": ends(1 - line[THESE]["median"] / line["unpaired"]["median"] for line in gaps),
        "beside_fixed": ends(line[THESE]["median"] / line["fixed_paired"] for line in gaps),
        "differ": ends(line["discordance"] for line in null),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/sequential"))
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = {"runs": args.runs, "most": MOST, "seed": args.seed}
    found = {}
    for measure in (false_alarms, coverage, ten_points):
        part, path = measure.__name__, args.out / f"{measure.__name__}.json"
        before = read_json(path) if path.exists() else {}
        lines = before["lines"] if before.get("asked") == asked else []
        for number, world in enumerate(track(worlds()[part], part)):
            if number >= len(lines):
                own = dataclasses.asdict(world) | {"discordance": world.discordance()}
                lines.append(own | measure(world, args.seed, number, args.runs))
                write_json(path, {"asked": asked, "lines": lines, "manifest": manifest(asked, args.seed)})
        found[part] = lines
    write_json(args.out / "table.json", table(found))
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
