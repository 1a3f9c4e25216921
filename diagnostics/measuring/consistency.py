"""Whether failures are the object's or luck (consistency), and whether more of it helps everywhere (progression).

Both take rows of episodes and nothing else.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.clusters import FEW
from toyshift.diagnostics.comparing.trials import Trial
from toyshift.diagnostics.measuring.episodes import by_group, read_policies
from toyshift.diagnostics.measuring.finding import Finding, Findings, listed, percent, too_few, undefined
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, bootstrap_mean, holm, wilson

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

ALWAYS = "of objects succeed in every variant"
STEP = "change of success per step from one policy to the next"
OBJECT, OR_START = "the object's", "the object's or its start's"
DRAWN = 10_000
ALPHA = 1 - CONFIDENCE
REFERENCES = ("oracle", "random")  # they are no policies in a row of better ones


def consistency(
    successes: NDArray[np.bool_], *, seed: int = 0, subject: str = "", owner: str = OBJECT
) -> Finding:
    """Returns how many objects succeed in every variant, beside what luck alone would leave.

    Luck: outcomes are dealt out to objects anew within each variant, so that each variant stays as hard as it is. Then
    the product of the variants' rates succeeds always. A share above that means that failures belong to objects.

    Args:
        successes: (O, k) of O objects in k variants (starts, looks, shifts).
        seed: of the dealing.
        subject: whose they are.
        owner: whose failures are that are not luck, in words.
    """
    won = np.asarray(successes, dtype=bool)
    if won.ndim != 2:
        raise ConfigError(f"consistency needs (objects, variants), got an array of shape {won.shape}")
    objects, k = won.shape
    if objects < 2 or k < 2:
        few = "one object says nothing of others" if objects == 1 else f"{objects} objects in {k} variants"
        return undefined("consistency", ALWAYS, f"{few}; it needs 2 of each", n=objects, subject=subject)
    if won.all() or not won.any():
        told = "every episode succeeded" if won.all() else "no episode succeeded"
        return undefined("consistency", ALWAYS, f"{told}, so objects do not differ", n=objects, subject=subject)
    always, never = int(won.all(axis=1).sum()), int((~won).all(axis=1).sum())
    expected, lost = float(np.prod(won.mean(axis=0))), float(np.prod(1 - won.mean(axis=0)))
    p = _chance_of_as_many(won.sum(axis=0), objects, always, episode_rng(seed, 0, "consistency"))
    said = f"{percent(always / objects)} of {objects} objects always succeed, luck would leave {percent(expected)}"
    if p <= ALPHA:
        verdict, card = f"failures are {owner}: {said} (p {p:.2g})", f"failures are {owner}: {said}"
    else:
        verdict, card = f"not told from luck: {said} (p {p:.2g})", ""
    caveats = []
    if objects * expected < 1:
        caveats.append(f"with {k} variants luck would leave {objects * expected:.2g} objects: a few decide")
    ratio = always / objects / expected if expected else float("nan")
    figures = {
        "objects": objects, "variants": k, "always": always, "by luck": objects * expected, "ratio": ratio, "p": p,
        "never": never, "never by luck": objects * lost,
    }  # fmt: skip
    return Finding(
        name="consistency", subject=subject, value=Estimate(always / objects, *wilson(always, objects), objects),
        unit=ALWAYS, null=expected, verdict=verdict, card=card, table=(figures,), caveats=tuple(caveats),
    )  # fmt: skip


def _chance_of_as_many(won: NDArray[np.int64], objects: int, always: int, rng: np.random.Generator) -> float:
    """Returns how often as many objects always succeed when each variant's successes (k,) are dealt out at random."""
    left = np.full(DRAWN, objects)
    for successes in won:
        left = rng.hypergeometric(successes, objects - successes, left)
    return float((1 + np.sum(left >= always)) / (1 + DRAWN))


def variants_of(episodes: Sequence[Trial]) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Returns the outcomes (O, k) of one set's objects: the i-th episode under each shift is one variant; and notes."""
    shifts = list(dict.fromkeys(one.shift for one in episodes))
    cells: dict[Hashable, dict[str, list[bool]]] = {}
    for one in episodes:
        cells.setdefault(one.item, collections.defaultdict(list))[one.shift].append(one.success)
    whole = {item: cell for item, cell in cells.items() if all(shift in cell for shift in shifts)}
    each = {shift: min((len(cell[shift]) for cell in whole.values()), default=0) for shift in shifts}
    lines = [[won for shift in shifts for won in cell[shift][: each[shift]]] for cell in whole.values()]
    notes = []
    if len(whole) < len(cells):
        notes.append(f"{len(cells) - len(whole)} objects that did not meet every shift are left out")
    if spare := sum(len(own) for cell in whole.values() for own in cell.values()) - sum(map(len, lines)):
        notes.append(f"{spare} episodes beyond those that every object has are left out")
    return np.asarray(lines, dtype=bool).reshape(len(whole), sum(each.values())), tuple(notes)


def consistency_of(asked: Asked) -> Findings:
    """Answers for each policy and object set of the rows."""
    found = []
    for side in read_policies(asked.rows):
        for subject, episodes in by_group(side).items():
            won, notes = variants_of(episodes)
            owner = OR_START if len({e.shift for e in episodes}) > 1 else OBJECT  # under each shift, a start returns
            one = consistency(won, seed=asked.seed, subject=subject, owner=owner)
            found.append(dataclasses.replace(one, caveats=one.caveats + notes))
    return Findings(tuple(found))


def page_trend(rates: Array) -> float:
    """Returns z of Page's test for a trend over the P columns of (O, P) rates, objects being the blocks.

    Variance is that of ranks with ties: without ties it is `scipy.stats.page_trend_test`'s, which takes too large a one
    where objects succeed always or never. 0 where no block varies.
    """
    from scipy.stats import rankdata

    ranks = rankdata(rates, axis=1)
    order = np.arange(rates.shape[1]) - (rates.shape[1] - 1) / 2
    spread = ranks - ranks.mean(axis=1, keepdims=True)
    variance = float((order**2).sum() * (spread**2).sum() / (rates.shape[1] - 1))
    return float((spread @ order).sum() / np.sqrt(variance)) if variance > 0 else 0.0


def progression(shifts: Mapping[str, Array], policies: Sequence[str], *, seed: int = 0, subject: str = "") -> Finding:
    """Returns whether success rises over ordered policies, by shift.

    Page's test, two-sided, with Holm's correction over shifts. The value is that without a shift, or else of the first.

    Args:
        shifts: shift ("" for none) -> (O, P) success rates of O objects by P policies.
        policies: their names, in order: smaller before larger, fewer demonstrations before more.
        seed: of the bootstrap over objects.
        subject: what they were tested on.
    """
    from scipy.stats import norm

    if len(policies) < 3:
        why = f"{len(policies)} policies are no row; give 3 or more, the least first"
        return undefined("progression", STEP, why, subject=subject)
    rated = {shift: np.asarray(rates, dtype=np.float64) for shift, rates in shifts.items() if len(rates) > 1}
    if not rated:
        why = "no two objects were met by every policy under one shift"
        return undefined("progression", STEP, why, n=max(map(len, shifts.values()), default=0), subject=subject)
    if wrong := next((rates.shape for rates in rated.values() if rates.shape[1:] != (len(policies),)), None):
        raise ConfigError(f"progression of {len(policies)} policies got rates of shape {wrong}")
    order = np.arange(len(policies)) - (len(policies) - 1) / 2
    scores = {shift: page_trend(rates) for shift, rates in rated.items()}
    corrected = holm([float(2 * norm.sf(abs(z))) for z in scores.values()])
    steps = {
        shift: bootstrap_mean(rates @ order / (order**2).sum(), seed=seed) for shift, rates in rated.items()
    }  # least squares within each object
    rises: list[str] = []
    falls: list[str] = []
    untold: list[str] = []
    few: list[str] = []
    lines = []
    for (shift, step), p in zip(steps.items(), corrected, strict=True):
        where = f"under {shift}" if shift else "without a shift"
        (few if step.n < FEW else untold if p > ALPHA else rises if scores[shift] > 0 else falls).append(where)
        rates = {name: float(rate) for name, rate in zip(policies, rated[shift].mean(axis=0), strict=True)}
        figures = {"step": step.value, "low": step.low, "high": step.high, "z": scores[shift], "p (Holm)": p}
        lines.append({"shift": shift or "-", "objects": step.n, **rates, **figures})
    parts = {"rises": rises, "falls": falls, "shows no trend": untold, "was seen on too few objects": few}
    verdict = "; ".join(f"{word} {listed(names)}" for word, names in parts.items() if names)
    first = "" if "" in steps else next(iter(steps))
    verdict = f"from {policies[0]} to {policies[-1]} success {verdict}"
    return Finding(
        name="progression", subject=subject, value=steps[first], unit=f"{STEP}{first and f', under {first}'}",
        null=0.0, verdict=verdict, card=verdict if rises or falls else "", table=tuple(lines),
        caveats=too_few(min(step.n for step in steps.values()), "objects"),
    )  # fmt: skip


def progression_of(asked: Asked) -> Findings:
    """Answers for each object set: the policies in order of the files and, in a file, of their rows."""
    sides = [side for side in read_policies(asked.rows) if side.name not in REFERENCES]
    names = [side.name for side in sides]
    found = []
    for group in dict.fromkeys(one.group for side in sides for one in side.episodes):
        cells = [_rates([one for one in side.episodes if one.group == group]) for side in sides]
        shared = [key for key in cells[0] if all(key in own for own in cells)] if cells else []
        shifts: dict[str, list[list[float]]] = {}
        for shift, item in shared:
            shifts.setdefault(shift, []).append([own[shift, item] for own in cells])
        rates = {shift: np.asarray(lines) for shift, lines in shifts.items()}
        one = progression(rates, names, seed=asked.seed, subject=group)
        alone = len({key for own in cells for key in own}) - len(shared)
        note = (f"{alone} pairs of object and shift that some policy did not meet are left out",) if alone else ()
        found.append(dataclasses.replace(one, caveats=one.caveats + note))
    return Findings(tuple(found) or (undefined("progression", STEP, "only references (oracle, random) are there"),))


def _rates(episodes: Sequence[Trial]) -> dict[tuple[str, str], float]:
    """Returns (shift, object) -> success rate."""
    cells: dict[tuple[str, str], list[bool]] = {}
    for one in episodes:
        cells.setdefault((one.shift, one.item), []).append(one.success)
    return {key: sum(won) / len(won) for key, won in cells.items()}
