"""Planted truths of repairs that say where to collect and what to replay: `collect --allocate`, `--curriculum plr`."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.truths import Truth
from toyshift.diagnostics import allocate
from toyshift.policies.rl import curriculum

ROUNDS, EACH, PLAYED = 3, 240, 60  # of a planted learner: collections, demonstrations in each, episodes that judge it
CELLS, SEEDS = 8, 20


def learnt(how: str, unlearnable: bool, seed: int) -> Array:
    """Returns the success of a learner whose cells (8,) rise concavely with demonstrations, after three rounds of them.

    Args:
        how: "uniform", "regret", or "progress": by regret, and what did not rise is given up.
        unlearnable: nobody can learn the last cell.
        seed: of the episodes that judge it.
    """
    rng = np.random.default_rng(seed)
    need, top = np.geomspace(8, 80, CELLS), np.full(CELLS, 0.95)
    if unlearnable:
        top[-1] = 0.0
    demos = np.full(CELLS, EACH / CELLS)
    before = None
    for _ in range(ROUNDS - 1):
        now = rng.binomial(PLAYED, top * (1 - np.exp(-demos / need))), np.full(CELLS, PLAYED)
        if how == "uniform":
            share = np.full(CELLS, 1 / CELLS)
        else:
            share = allocate.shares(*now, np.full(CELLS, 0.98), before if how == "progress" else None)
        demos, before = demos + EACH * share, now
    return np.asarray(top * (1 - np.exp(-demos / need)))


def allocate_truths() -> list[Truth]:
    """Eight cells that rise concavely, all of which can be learnt, or all but one."""
    found = {how: np.mean([learnt(how, False, s) for s in range(SEEDS)], axis=0) for how in ("uniform", "regret")}
    rest = {how: np.mean([learnt(how, True, s)[:-1] for s in range(SEEDS)], axis=0) for how in ("regret", "progress")}
    saved = float(rest["progress"].mean() - rest["regret"].mean())
    now, before = (np.array([30, 5, 0]), np.full(3, 60)), (np.array([10, 5, 0]), np.full(3, 60))
    after = allocate.shares(*now, np.full(3, 0.9), before)
    even = allocate.EVEN / 3
    return [
        Truth("against even shares: the mean rises by", 0.03, float(found["regret"].mean() - found["uniform"].mean()),
              0.02),
        Truth("and the worst cell by", 0.2, float(found["regret"].min() - found["uniform"].min()), 0.1),
        Truth("giving up what nobody learns: others gain", 0.015, saved, 0.01),
        Truth("share of a cell that did not rise", even, float(max(after[1:])), 1e-9),
        Truth("share of the one that did", 1 - 2 * even, float(after[0]), 1e-9),
    ]  # fmt: skip


def plr_truths() -> list[Truth]:
    """Three objects of known success and one that nobody has played; and nothing that is known."""
    found = curriculum.replay_shares("abcd", {"a": 0.9, "b": 0.1, "c": 0.5})
    ranks = np.array([1 / 3, 1, 1 / 2]) / (1 + 1 / 2 + 1 / 3)
    truth = [*(0.5 * ranks + 0.125), 0.125]
    words = ("best known (0.9)", "worst known (0.1)", "one between (0.5)", "one never played")
    none = curriculum.replay_shares("abcd", {})
    return [
        *(Truth(f"chance of the {w}", float(t), float(f), 1e-9) for w, t, f in zip(words, truth, found, strict=True)),
        Truth("nothing known: chances differ by", 0.0, float(np.ptp(none)), 0.0),
    ]
