"""Missing in spite of knowing, or never having known: planted misses, coins, and rows that are not paired."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.ignorance import ignorance, ignorance_of
from toyshift.diagnostics.measuring.planted import by_object, coins, misses, rows_of
from toyshift.diagnostics.rows import Row, write_rows

SHIFT = "camera-azimuth=2"


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., list[Finding]]:
    """Writes files of rows, and asks about them."""

    def ask(*files: list[Row]) -> list[Finding]:
        paths = [write_rows(tmp_path / f"{i}.parquet", rows, {}) for i, rows in enumerate(files)]
        common = {"objects": "", "scenes": 2, "looks": 1, "trials": 0, "camera": "front", "seed": 0, "out": tmp_path}
        return list(ignorance_of(Asked(rows=tuple(map(str, paths)), **common)).found)

    return ask


def test_planted_errors_and_ignorance_are_counted() -> None:
    one = ignorance(*misses(22, 18, 10))
    assert one.value.value == 22 / 50
    p = 32 / 50
    assert one.null == pytest.approx(p**6 * (1 - p))
    (line,) = one.table
    assert (line["misses"], line["errors"], line["ignorance"], line["between"]) == (40, 22, 18, 0)
    assert line["excess share"] == pytest.approx(22 / 50 * 6 / 7)
    assert one.verdict.startswith("of 40 misses 22 in spite of knowing")
    assert one.verdict.endswith("repair the shift, not the data")
    assert ignorance(*misses(2, 38, 10)).verdict.endswith("repair the data, not the shift")
    assert ignorance(*misses(0, 40, 0)).verdict.endswith("repair the data, not the shift")


def test_coins_give_p6_of_one_minus_p_and_no_excess() -> None:
    tosses = coins(0.8, (20_000, 7))
    one = ignorance(tosses[:, :6], tosses[:, 6], [i % 200 for i in range(len(tosses))])
    assert one.value.value == pytest.approx(0.8**6 * 0.2, abs=0.005)  # 5 %
    assert one.null == pytest.approx(0.8**6 * 0.2, abs=0.001)
    assert one.table[0]["excess share"] == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("rates", [np.full(28, 0.8), np.r_[np.full(14, 0.95), np.full(14, 0.1)]])
def test_a_shift_that_does_nothing_is_blamed_once_in_twenty(rates: np.ndarray) -> None:
    """Also where objects differ, which p^6 (1 - p) of one p does not see."""
    rng = np.random.default_rng(0)
    blamed = []
    for _ in range(200):
        won = rng.random((28, 7)) < rates[:, None]
        blamed.append("repair the shift" in ignorance(won[:, :6], won[:, 6]).verdict)
    assert np.mean(blamed) <= 0.07


def test_fewer_than_eight_objects_have_no_verdict() -> None:
    """Ten episodes of each: all seven objects fail in spite of knowing, or from never having known."""
    for errors, ignorant in ((70, 0), (0, 70)):
        one = ignorance(*misses(errors, ignorant, 0), [i % 7 for i in range(70)])
        assert one.verdict.endswith("too few objects to say which explains most")
        assert one.card == ""
        assert one.caveats[1] == "7 objects: no verdict below 8, where intervals are too narrow"
        assert one.table[0]["errors"] == errors
        enough = ignorance(*misses(errors, ignorant, 0), [i % 8 for i in range(70)])
        assert "repair the" in enough.verdict
        assert len(enough.caveats) == 1


def test_each_shift_has_its_line() -> None:
    nominal, shifted = misses(6, 0, 6)
    shifts = ["a"] * 6 + ["b"] * 6
    one = ignorance(nominal, shifted, [*range(6), *range(6)], shifts)
    assert [(line["shift"], line["errors"], line["misses"]) for line in one.table] == [("a", 6, 6), ("b", 0, 0)]
    assert one.value.n == 6


@pytest.mark.parametrize(
    ("nominal", "shifted", "objects", "why"),
    [
        (np.ones((4, 6)), np.ones(4), None, "nothing failed under the shift"),
        (np.ones((4, 6)), np.zeros(4), ["a"] * 4, "one object says nothing of others"),
        (np.ones((0, 6)), np.ones(0), None, "there is no shifted episode"),
    ],
)  # fmt: skip
def test_ignorance_that_is_undefined_says_why(
    nominal: np.ndarray, shifted: np.ndarray, objects: list[str] | None, why: str
) -> None:
    one = ignorance(nominal.astype(bool), shifted.astype(bool), objects)
    assert math.isnan(one.value.value)
    assert one.verdict == f"undefined: {why}"


def test_five_starts_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(N, 6\) and \(N,\), got shapes \(4, 5\)"):
        ignorance(np.ones((4, 5), bool), np.ones(4, bool))


def test_rows_are_paired_by_their_starts(found: Callable[..., list[Finding]]) -> None:
    nominal = by_object(8, 4, 8)
    nominal[0, 3] = False  # one of the first six of object 0, and the pair of its fourth shifted episode
    shifted = by_object(0, 12, 4)
    (one,) = found(rows_of("p", nominal), rows_of("p", shifted, shift=SHIFT))
    (line,) = one.table
    assert (line["episodes"], line["errors"], line["ignorance"], line["between"]) == (48, 28, 16, 4)
    assert one.subject == "p on planted"
    assert one.verdict.endswith("repair the shift, not the data")


def test_rows_that_do_not_fit_say_so(found: Callable[..., list[Finding]]) -> None:
    plain, shifted = rows_of("p", by_object(6, 2, 6)), rows_of("p", by_object(0, 8, 1), shift=SHIFT)
    lacking = "undefined: no episode {} a shift; evaluate the same starts with and without one"
    assert found(plain)[0].verdict == lacking.format("with")
    assert found(shifted)[0].verdict == lacking.format("without")
    other = rows_of("p", by_object(0, 8, 1), shift=SHIFT, seed=5)
    alone = "8 shifted episodes whose start was not played without a shift are left out"
    assert found(plain, other)[0].verdict == f"undefined: {alone}"
    few = rows_of("p", by_object(6, 2, 5))
    told = "8 shifted episodes of objects with fewer than 6 starts without a shift are left out"
    assert found(few, shifted)[0].verdict == f"undefined: {told}"
    assert found(plain, shifted + other)[0].caveats[-1] == alone


def test_a_table_without_starts_cannot_be_paired(tmp_path: Path) -> None:
    lines = ["success,object,shift", *(f"1,{o},{s}" for o in "ab" for s in ("", "", "", "", "", "", "dark"))]
    path = tmp_path / "trials.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    asked = Asked(
        rows=(str(path),), objects="", scenes=2, looks=1, trials=0, camera="front", seed=0, out=tmp_path
    )
    (one,) = ignorance_of(asked).found
    assert one.verdict == "undefined: starts are not told (the table has no column start, seed or episode)"
    numbered = [lines[0] + ",start", *(f"{line},{i % 7 % 6}" for i, line in enumerate(lines[1:]))]
    path.write_text("\n".join(numbered).replace("1,a,dark", "0,a,dark"), encoding="utf-8")
    (one,) = ignorance_of(asked).found  # the shifted episode has the first start
    assert one.table[0]["errors"] == 1
