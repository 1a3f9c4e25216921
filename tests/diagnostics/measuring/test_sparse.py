"""Sparse codes: areas under curves by hand, units that stand for a factor, and factors that no unit tells."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.sparse import SparseCode, auroc, best_unit, sparse_code, sparse_finding

N = 96
OBJECTS, LEVEL = np.arange(N) // 4, np.arange(N) // 4 % 3 % 2 + 1
FIT = OBJECTS % 4 < 2


def plain_code(size: int) -> SparseCode:
    """A code whose units are the features."""
    return SparseCode(np.zeros(size), 1.0, np.eye(size), np.zeros(size), np.eye(size))


def measured(change: np.ndarray) -> Finding:
    base = np.random.default_rng(0).normal(size=(N, 6))
    return sparse_finding(plain_code(6), base, base + change, LEVEL, OBJECTS, FIT, factor="the table", subject="p")


def test_areas_by_hand() -> None:
    values = np.array([[1.0, 4.0, 1.0], [2.0, 3.0, 1.0], [3.0, 2.0, 1.0], [4.0, 1.0, 1.0]])
    assert auroc(values, np.array([False, False, True, True])).tolist() == [1.0, 0.0, 0.5]


def test_a_level_has_a_unit_of_its_own() -> None:
    base = np.zeros((N, 3))
    changed = base.copy()
    changed[LEVEL == 1, 0], changed[LEVEL == 2, 1] = 1.0, -1.0
    area, right = best_unit(base, changed, LEVEL, FIT)
    assert area == 1.0
    assert np.isnan(right[FIT]).all()
    assert (right[~FIT] == 1.0).all()


def test_a_unit_that_stands_for_a_factor_and_none() -> None:
    one = measured(np.array([8.0, 0, 0, 0, 0, 0]))
    assert one.card.startswith("one unit of a sparse code stands for the table (AUROC 1.00")
    assert one.null < 0.7
    noise = measured(np.random.default_rng(1).normal(size=(N, 6)))
    assert noise.verdict.startswith("no unit of a sparse code is shown to tell the table")
    assert noise.card == ""


def test_what_is_undefined_says_why() -> None:
    base = np.zeros((8, 2))
    few = sparse_finding(plain_code(2), base, base + 1, np.ones(8, np.int64), np.arange(8) // 4, np.arange(8) < 4,
                         factor="the table")  # fmt: skip
    assert few.verdict.startswith("undefined: a unit is chosen by half of the objects")
    half = np.where(FIT, 1, 2)
    lone = sparse_finding(plain_code(6), np.zeros((N, 6)), np.ones((N, 6)), half, OBJECTS, FIT, factor="the table")
    assert lone.verdict.startswith("undefined: a level of the table is met with half of the objects only")


def test_rows_of_a_dictionary_have_length_1_and_a_seed_gives_the_same() -> None:
    x = np.random.default_rng(0).normal(size=(40, 4))
    code = sparse_code(x, wider=2, steps=20)
    assert np.linalg.norm(code.dictionary, axis=1) == pytest.approx(np.ones(8), abs=1e-5)
    assert (code(x) >= 0).all()
    assert np.array_equal(code.encoder, sparse_code(x, wider=2, steps=20).encoder)
    assert not np.array_equal(code.encoder, sparse_code(x, wider=2, steps=20, seed=1).encoder)
