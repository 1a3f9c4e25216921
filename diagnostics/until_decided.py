"""Two policies are played round by round, from the same starts, until it is settled which is better.

In a round every object is met once by both. What is decided follows from the rows alone, round after round: killed and
taken up again, or with other workers, a run decides the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.progress import Progress
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Job, Pool, play, pool_at
from toyshift.core.world import World
from toyshift.diagnostics.actors import Actor
from toyshift.diagnostics.evaluation import (
    EvaluateConfig,
    RowsInProgress,
    begin_episode,
    opened_session,
    opening_on,
    play_row,
    served,
    session_key,
)
from toyshift.diagnostics.power import pairs_needed
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.seen import not_unseen, seen_objects
from toyshift.diagnostics.sequential import NEW, THESE, PairedTest, least_gap

GAPS = (0.05, 0.10)  # true gaps for which a fixed design is told, beside the margin
MAY_DIFFER = ("policy", "name", "trials", "remote", "env")  # between the two sides


@dataclasses.dataclass(frozen=True)
class Decision:
    """How a comparison of two policies ended.

    Attributes:
        first, second: their names in the rows.
        about: which of the tests was to be settled, THESE or NEW.
        margin: gaps below it count as equivalent; 0 where that was not asked.
        tests: both tests by what they are about, after the last round.
        rows: of both policies, in order.
        most: rounds that there could have been.
        notes: what to keep in mind.
    """

    first: str
    second: str
    about: str
    margin: float
    tests: Mapping[str, PairedTest]
    rows: Sequence[Row]
    most: int
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Of the first policy: "better", "worse", "equivalent", or "" where the trials were spent before."""
        return self.tests[self.about].verdict(self.margin)

    @property
    def objects(self) -> int:
        return int(self.tests[THESE].sums.shape[-1])

    @property
    def episodes(self) -> int:
        """How many each policy played."""
        return self.tests[THESE].rounds * self.objects

    def fixed_designs(self) -> dict[float, int]:
        """Returns true gap -> pairs of episodes with which McNemar's test, looked at once, finds it (80 % power).

        The gaps are those of GAPS and the margin, if any; the one that was seen would say nothing beyond the evidence.
        How often the policies differ is taken from what was seen: gaps that are larger are left out, and so are those
        that take more episodes than anybody plays.
        """
        differ, found = self.tests[THESE].discordance, {}
        for gap in sorted({*GAPS, self.margin} - {0.0}):
            if gap <= differ:
                with contextlib.suppress(ConfigError):  # more than anybody plays
                    found[gap] = pairs_needed(gap, differ)
        return found

    def to_json(self) -> dict[str, Any]:
        least, fixed = least_gap(self.objects), self.fixed_designs()
        return {
            "first": self.first, "second": self.second, "verdict": self.verdict or "not decided", "about": self.about,
            "margin": self.margin, "rounds": self.tests[THESE].rounds, "most_rounds": self.most,
            "objects": self.objects, "episodes": self.episodes, "gap": self.tests[THESE].gap,
            "discordance": self.tests[THESE].discordance,
            "tests": [test.to_json(self.margin) for test in self.tests.values()],
            "fixed_design_episodes": fixed.get(self.margin),  # for a gap as large as the margin
            "fixed_designs": [{"gap": gap, "episodes": pairs} for gap, pairs in fixed.items()],
            "least_gap_for_new_objects": least if math.isfinite(least) else None, "notes": list(self.notes),
        }  # fmt: skip

    def text(self) -> str:
        """Returns what was found, in lines for a terminal."""
        words = {"equivalent": f"equivalent within {100 * self.margin:g} points to", "": "not shown to differ from"}
        lines = []
        for about, test in self.tests.items():
            verdict = test.verdict(self.margin)
            told = words.get(verdict, f"{verdict} than")
            span = f"the gap lies from {100 * test.low:+.1f} to {100 * test.high:+.1f} points (95 %, at every look)"
            lines.append(f"on {about} objects, {self.first} is {told} {self.second}: {span}")
        test = self.tests[THESE]
        played = f"{self.episodes} episodes each (rounds {test.rounds}, objects {self.objects})"
        counts = f"gap {100 * test.gap:+.1f} points, one alone succeeded in {100 * test.discordance:.1f} %"
        lines.append(f"{'decided' if self.verdict else 'not decided, trials spent'} after {played}: {counts}")
        if not self.verdict:
            lines.append("the same command with more --trials goes on from here")
        if fixed := self.fixed_designs():
            told = ", ".join(f"{pairs} for {100 * gap:g} points" for gap, pairs in fixed.items())
            of = "true gaps at 80 % power, policies that differ as often"
            lines.append(f"a fixed design, looked at once, needs episodes each: {told} ({of})")
        least = least_gap(self.objects)
        if not self.tests[NEW].verdict(self.margin) and abs(test.gap) < least:
            seen = f"a gap seen below {100 * least:.1f} points" if math.isfinite(least) else "no gap"
            cannot = "cannot" if math.isfinite(least) else "can"
            told = f"{cannot} be called better or worse with these {self.objects} objects: more objects could"
            lines.append(f"for new objects, {seen} {told}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@contextlib.contextmanager
def _both_opened(sides: Sequence[EvaluateConfig], ids: tuple[str, ...]) -> Iterator[list[tuple[Actor, World]]]:
    """Yields actor and environment of both policies; their episodes must begin in the same state."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(opened_session(config)) for config in sides]
        states = []
        for config, (_, world) in zip(sides, opened, strict=True):
            begin_episode(world, config, object_of_episode(ids, config.seed, 0)[0], 0)
            states.append(world.sim_state())
        if states[0].shape != states[1].shape or not np.allclose(states[0], states[1], rtol=0.0, atol=1e-9):
            told = "begin the same episode in different states, as their environments differ; no pairs can be made"
            raise ConfigError(f"{sides[0].policy} and {sides[1].policy} {told}")
        yield opened


def _play_either(
    sides: Sequence[EvaluateConfig], ids: tuple[str, ...], opened: list[tuple[Actor, World]], item: tuple[int, int]
) -> tuple[int, Row]:
    side, episode = item
    return side, play_row(sides[side], ids, opened[side], episode)


def refuse_unpaired(first: EvaluateConfig, second: EvaluateConfig) -> None:
    """Raises ConfigError where two evaluations do not meet the same episodes, or are of the same policy."""
    names = [f.name for f in dataclasses.fields(first) if f.name not in MAY_DIFFER]
    values = [{n: getattr(c, n) for n in names} | {"env": dict(c.env.kwargs)} for c in (first, second)]
    if differ := [f"{n} ({values[0][n]} and {values[1][n]})" for n in values[0] if values[0][n] != values[1][n]]:
        raise ConfigError(f"two policies are compared on the same episodes, but differ in {', '.join(differ)}")
    if first.policy == second.policy and first.env.masks == second.env.masks:
        raise ConfigError(f"{first.policy} is compared with itself; give two policies")


def differences(done: Sequence[Mapping[int, Row]], ids: Sequence[str], number: int) -> Array | None:
    """Returns a round's differences (K,) in order of the objects; None while one of its episodes is missing."""
    found = np.zeros(len(ids))
    for episode in range(number * len(ids), (number + 1) * len(ids)):
        if episode not in done[0] or episode not in done[1]:
            return None
        row = done[0][episode]
        found[ids.index(row.object_id)] = float(row.success) - float(done[1][episode].success)
    return found


def evaluate_until_decided(
    first: EvaluateConfig, second: EvaluateConfig, outs: tuple[Path, Path], about: str = THESE, margin: float = 0.0,
    workers: int = 2, progress: bool = True, pool: Pool | None = None, ray: str = "",
) -> Decision:
    """Plays rounds of two policies until the test of these or of new objects is settled, or the trials are spent.

    Rows are kept as `evaluate` keeps them, and those that are there are not played again. Episodes begun behind the
    deciding round are left out.

    Args:
        first, second: equal but for the policy; the lesser of their `trials` limits the episodes of each.
        outs: Parquet files of both.
        about: which test is to be settled, `sequential.THESE` or `sequential.NEW`.
        margin: settled as well where the gap is shown to be smaller than this; 0 does not ask.
        workers: processes; 0 plays in this one. Not used with `pool`.
        progress: show a bar with the gap so far, its interval and the evidence.
        pool, ray: as of `evaluate`.

    Raises:
        ConfigError: the two do not meet the same episodes, or the trials are less than one round.
    """
    refuse_unpaired(first, second)
    if not 0.0 <= margin < 1.0:
        raise ConfigError(f"margin is {margin}; it is a difference of rates, at least 0 and below 1")
    sides = (first, second)
    kept = [RowsInProgress(config, out) for config, out in zip(sides, outs, strict=True)]
    done, ids = [k.done for k in kept], kept[0].ids
    trials = min(first.trials, second.trials)
    most = trials // len(ids)
    if not most:
        raise ConfigError(f"{trials} trials are less than a round: {first.objects} has {len(ids)} objects; give more")
    tests = {name: PairedTest.begin(name, len(ids)) for name in (THESE, NEW)}

    def settled() -> bool:
        """Looks at the rounds that are complete, in order, and says whether there is nothing left to play."""
        while not (over := tests[about].verdict(margin) or tests[THESE].rounds == most):
            found = differences(done, ids, tests[THESE].rounds)
            if found is None:
                break
            tests.update({name: test.after(found) for name, test in tests.items()})
        return bool(over)

    if not settled():
        coming = ((s, i) for i in range(most * len(ids)) for s in (0, 1) if i not in done[s])
        label = f"{first.name or first.policy} or {second.name or second.policy}"
        before = sum(i < most * len(ids) for rows in done for i in rows)
        with contextlib.ExitStack() as stack:
            bar = stack.enter_context(Progress(label, 2 * most * len(ids), "ep", before, shown=progress))
            playing = [stack.enter_context(served(config)) for config in sides]
            for k in kept:
                stack.enter_context(k)
            if pool is None:
                pool = stack.enter_context(pool_at(ray, workers))
            opening = opening_on(pool, playing, functools.partial(_both_opened, playing, ids))
            key = json_hash([session_key(config) for config in playing])
            job = Job(key, opening, functools.partial(_play_either, playing, ids), label)
            with contextlib.closing(play(coming, job, pool=pool)) as results:  # type: ignore[type-var]
                for side, row in results:
                    kept[side].add(row)
                    gap, evidence = state(tests[about])
                    bar.update(gap=gap, evidence=evidence)
                    if settled():
                        break
    rows = [row for k in kept for row in k.finish(tests[THESE].rounds * len(ids))]
    names = rows[0].policy, rows[-1].policy
    note = not_unseen([
        (name, seen_objects(c.policy, c.objects, ids), len(ids)) for name, c in zip(names, sides, strict=True)
    ])  # fmt: skip
    return Decision(*names, about, margin, tests, rows, most, (note,) if note else ())


def state(test: PairedTest) -> tuple[str, str]:
    """Returns how a comparison stands, for the end of a progress bar: the gap with its interval, and the evidence."""
    better, worse = test.evidence()
    gap = f"{100 * test.gap:+.0f} ({100 * test.low:+.0f} to {100 * test.high:+.0f})"
    return gap, f"{max(better, worse):.3g} of {2 / (1 - test.confidence):.0f}"
