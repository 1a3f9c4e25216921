"""Whether a policy that misses under a shift never knew the object (ignorance), or misses in spite of knowing (error).

After "Distinguishing Ignorance from Error": it *knows* an object that it grasps from every one of six starts without
the shift, and knows nothing of one that it grasps from none. Rows of episodes are all that is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.comparing.trials import Trial
from toyshift.diagnostics.measuring.episodes import by_group, read_policies
from toyshift.diagnostics.measuring.finding import Finding, Findings, percent, too_few, undefined
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean, clustered

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

STARTS = 6  # the paired start and five drawn ones
ERRORS = "of shifted episodes fail although all six starts succeed without the shift"


def ignorance(
    nominal: NDArray[np.bool_], shifted: NDArray[np.bool_], objects: Sequence[Any] | None = None,
    shifts: Sequence[str] | None = None, *, seed: int = 0, subject: str = "",
) -> Finding:
    """Returns the share of shifted episodes that fail in spite of knowing, beside what chance leaves.

    Two nulls. `Finding.null`: one success rate p for every object and start, and a shift that does nothing, give
    p^6 (1 - p). The verdict's is stricter, for objects may differ: if the shift did nothing, an object's seven episodes
    could change places, so that of those with six successes one in seven has its failure under the shift.

    Args:
        nominal: (N, 6) successes without the shift, the first from the shifted episode's own start.
        shifted: (N,) successes under the shift.
        objects: (N,) whose episodes they are; None takes each for another object.
        shifts: (N,) which shift; None for one.
        seed: of the bootstrap over objects.
        subject: whose they are.
    """
    known, won = np.asarray(nominal, dtype=bool), np.asarray(shifted, dtype=bool)
    if known.shape != (*won.shape, STARTS) or won.ndim != 1:
        raise ConfigError(f"ignorance needs (N, {STARTS}) and (N,), got shapes {known.shape} and {won.shape}")
    names = np.asarray(range(len(won)) if objects is None else [str(name) for name in objects])
    count = len(set(names.tolist()))
    if count < 2:
        why = "one object says nothing of others" if count else "there is no shifted episode"
        return undefined("ignorance", ERRORS, why, n=count, subject=subject)
    if won.all():
        return undefined("ignorance", ERRORS, "nothing failed under the shift", n=count, subject=subject)
    sums = known.sum(axis=1)
    error, ignorant = (sums == STARTS) & ~won, (sums == 0) & ~won
    p = float(known.mean())
    by_chance = (sums + won == STARTS) / (STARTS + 1)
    excess = bootstrap_mean(error - by_chance, list(names), seed=seed)
    never = clustered(ignorant, list(names))
    missed, errors, unknown = int((~won).sum()), int(error.sum()), int(ignorant.sum())
    said = f"of {missed} misses {errors} in spite of knowing (chance leaves {by_chance.sum():.1f})"
    said += f" and {unknown} on objects that it never grasps"
    is_error = excess.low > 0
    is_ignorance = unknown > 0 and (never.low > (1 - p) ** (STARTS + 1) or not known.any())
    if few := too_few(count, "objects"):
        is_error = is_ignorance = False
        verdict = f"{said}: too few objects to say which explains most"
    elif is_error and errors >= unknown:
        verdict = f"{said}: repair the shift, not the data"
    elif is_ignorance and unknown > missed / 2:
        verdict = f"{said}: repair the data, not the shift"
    else:
        verdict = f"{said}: {'neither explains most' if is_error or is_ignorance else 'neither is shown'}"
    label = np.asarray([""] * len(won) if shifts is None else list(shifts))
    return Finding(
        name="ignorance", subject=subject, value=clustered(error, list(names)), unit=ERRORS,
        null=p**STARTS * (1 - p), verdict=verdict, card=verdict if is_error or is_ignorance else "",
        table=tuple(
            _line(shift, label == shift, error, ignorant, won, by_chance, names, seed)
            for shift in dict.fromkeys(label.tolist())
        ),
        caveats=(
            f"success without the shift is {percent(p)}; which start a policy fails from may itself be luck", *few
        ),
    )  # fmt: skip


def _line(
    shift: str, here: NDArray[np.bool_], error: NDArray[np.bool_], ignorant: NDArray[np.bool_],
    won: NDArray[np.bool_], by_chance: ArrayLike, names: NDArray[Any], seed: int,
) -> dict[str, Any]:
    """Returns the figures of one shift."""
    chance = np.asarray(by_chance)[here]
    excess: Estimate = bootstrap_mean(error[here] - chance, list(names[here]), seed=seed)
    misses = int((~won[here]).sum())
    return {
        "shift": shift or "-", "episodes": int(here.sum()), "misses": misses, "errors": int(error[here].sum()),
        "by chance": float(chance.sum()), "excess share": excess.value, "low": excess.low, "high": excess.high,
        "ignorance": int(ignorant[here].sum()), "between": misses - int((error | ignorant)[here].sum()),
    }  # fmt: skip


def looks_of(episodes: Sequence[Trial]) -> tuple[list[tuple[list[bool], Trial]], tuple[str, ...]]:
    """Returns each shifted episode with its object's six outcomes without a shift, its own start's first; and notes."""
    nominal: dict[str, list[Trial]] = {}
    for one in episodes:
        if not one.shift and one.base is not None:
            nominal.setdefault(one.item, []).append(one)
    found, few, alone = [], 0, 0
    for one in episodes:
        if not one.shift:
            continue
        own = nominal.get(one.item, [])
        paired = [e for e in own if e.base == one.base]
        if not paired:
            alone += 1
        elif len(own) < STARTS:
            few += 1
        else:
            others = [e for e in own if e.base != one.base][: STARTS - 1]
            found.append(([e.success for e in (*paired, *others)], one))
    notes = []
    if few:
        notes.append(f"{few} shifted episodes of objects with fewer than {STARTS} starts without a shift are left out")
    if alone:
        notes.append(f"{alone} shifted episodes whose start was not played without a shift are left out")
    return found, tuple(notes)


def ignorance_of(asked: Asked) -> Findings:
    """Answers for each policy and object set of the rows."""
    answers = []
    for side in read_policies(asked.rows):
        for subject, episodes in by_group(side).items():
            found, notes = looks_of(episodes)
            if not found:
                why = _missing(episodes, notes, side.starts)
                answers.append(undefined("ignorance", ERRORS, why, subject=subject))
                continue
            one = ignorance(
                np.asarray([six for six, _ in found]), np.asarray([e.success for _, e in found]),
                [e.item for _, e in found], [e.shift for _, e in found], seed=asked.seed, subject=subject,
            )  # fmt: skip
            answers.append(dataclasses.replace(one, caveats=one.caveats + notes))
    return Findings(tuple(answers))


def _missing(episodes: Sequence[Trial], notes: Sequence[str], starts: str) -> str:
    """Says what rows lack."""
    if all(one.shift for one in episodes) or not any(one.shift for one in episodes):
        lacking = "with" if not any(one.shift for one in episodes) else "without"
        return f"no episode {lacking} a shift; evaluate the same starts with and without one"
    if any(one.base is None for one in episodes):
        return f"starts are not told ({starts})"
    return "; ".join(notes)
