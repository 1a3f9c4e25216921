"""MMRV and Pearson: SimplerEnv's published figures, vectors by hand, and what is undefined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import FileError, ToyShiftError
from toyshift.diagnostics.comparing.agreement import (
    agreement,
    fisher,
    mmrv,
    mmrv_bounds,
    pearson,
    rate_bounds,
    read_rates,
)
from toyshift.diagnostics.statistics import Rate

# Of SimplerEnv (arXiv 2405.05941): success of RT-2-X, RT-1 converged, at 15 %, RT-1-X, Octo-base and RT-1 at the
# beginning on the real robot and in the simulator (visual matching), of its utils/metrics.py; MMRV and Pearson of its
# paper's table.
SIMPLER = {
    "pick coke": ((0.907, 0.853, 0.920, 0.760, 0.293, 0.133), (0.787, 0.857, 0.710, 0.567, 0.170, 0.027), 0.031, 0.976),
    "move near": ((0.733, 0.633, 0.583, 0.450, 0.350, 0.017), (0.779, 0.442, 0.354, 0.317, 0.042, 0.050), 0.111, 0.855),
}  # fmt: skip


@pytest.mark.parametrize("task", SIMPLER)
def test_simplerenvs_published_figures(task: str) -> None:
    real, simulated, violation, correlation = SIMPLER[task]
    assert float(mmrv(simulated, real)) == pytest.approx(violation, abs=6e-4)
    assert float(pearson(simulated, real)) == pytest.approx(correlation, abs=2e-3)


def test_the_figures_of_our_notes() -> None:
    # RT-1, RT-1-X and Octo-base on the coke can: one order, and nearly a line
    real, simulated = (0.853, 0.760, 0.293), (0.857, 0.567, 0.170)
    assert float(mmrv(simulated, real)) == 0.0
    assert float(pearson(simulated, real)) == pytest.approx(0.96151, abs=1e-5)


@pytest.mark.parametrize(
    ("here", "there", "violation"),
    [
        ((0.1, 0.5, 0.9), (0.2, 0.3, 0.4), 0.0),  # the same order
        ((0.9, 0.5, 0.1), (0.2, 0.3, 0.4), (0.2 + 0.1 + 0.2) / 3),  # reversed
        ((0.1, 0.9, 0.8), (0.2, 0.3, 0.7), (0.0 + 0.4 + 0.4) / 3),  # the last two are exchanged
        ((0.5, 0.5, 0.5), (0.2, 0.3, 0.4), (0.0 + 0.1 + 0.2) / 3),  # a tie counts against the better one only
        ((0.1, 0.5, 0.9), (0.4, 0.4, 0.4), 0.0),
    ],
)
def test_vectors_by_hand(here: tuple[float, ...], there: tuple[float, ...], violation: float) -> None:
    assert float(mmrv(here, there)) == pytest.approx(violation)


def test_pearson_is_numpys_and_nan_where_a_column_is_constant() -> None:
    rng = np.random.default_rng(0)
    s, r = rng.random((2, 5, 7))
    assert pearson(s, r) == pytest.approx([np.corrcoef(a, b)[0, 1] for a, b in zip(s, r, strict=True)])
    assert np.isnan(pearson([0.2, 0.2], [0.1, 0.3]))


def of(rates: dict[str, float], episodes: int | None = None) -> dict[str, Rate]:
    return {name: Rate(rate, episodes) for name, rate in rates.items()}


def test_agreement_takes_what_both_name_and_has_bounds() -> None:
    names = [f"shift{i}" for i in range(12)]
    there = {name: i / 11 for i, name in enumerate(names)}
    here = {name: rate**2 for name, rate in there.items()} | {"more": 0.3}
    found = agreement(of(here, 100), of({**there, "not played": 0.5}))
    assert found.names == tuple(names)
    assert (found.mmrv.value, found.mmrv.low) == (0.0, 0.0)  # a monotone curve
    assert found.mmrv.high > 0.1  # which a hundred episodes do not show it to be
    assert found.pearson.low < found.pearson.value < found.pearson.high < 1.0
    assert (found.why, found.exact) == ("", True)
    both = agreement(of(here, 100), of(there, 100))
    assert both.mmrv.high > found.mmrv.high
    assert not both.exact
    exact = agreement(of(here), of(there))  # all are known: there is nothing to doubt
    assert (exact.mmrv.low, exact.mmrv.high) == (0.0, 0.0)


def test_bounds_are_exact_for_one_pair_and_hold_every_rate_inside() -> None:
    # which of the first two is better here is open, the third is worse for certain; there it is 0.2, 0.5, 0.9
    low, high = np.array([0.3, 0.4, 0.0]), np.array([0.6, 0.7, 0.1])
    there = np.array([0.2, 0.5, 0.9])
    assert mmrv_bounds((low, high), (there, there)) == pytest.approx(((0.7 + 0.4 + 0.7) / 3, (0.7 + 0.4 + 0.7) / 3))
    apart = np.array([0.3, 0.4]), np.array([0.6, 0.7])
    assert mmrv_bounds(apart, (there[:2], there[:2])) == pytest.approx((0.0, 0.3))
    sure = np.array([0.8, 0.1]), np.array([0.9, 0.2])
    assert mmrv_bounds(sure, (np.array([0.1, 0.5]), np.array([0.4, 0.6]))) == pytest.approx((0.1, 0.5))
    rng = np.random.default_rng(0)
    for _ in range(200):
        ends = np.sort(rng.random((2, 2, 6)), axis=0)  # (low or high, side, name)
        inside = ends[0] + (ends[1] - ends[0]) * rng.random((500, 2, 6))
        least, most = mmrv_bounds((ends[0, 0], ends[1, 0]), (ends[0, 1], ends[1, 1]))
        found = mmrv(inside[:, 0], inside[:, 1])
        assert least - 1e-12 <= found.min()
        assert found.max() <= most + 1e-12


def test_bounds_of_rates_are_clopper_and_pearsons() -> None:
    low, high = rate_bounds([Rate(0.0, 10), Rate(0.3, 10), Rate(1.0, 10), Rate(0.4)], 0.95)
    assert low == pytest.approx([0.0, 0.06674, 1 - 0.30850, 0.4], abs=1e-5)  # of tables
    assert high == pytest.approx([0.30850, 0.65245, 1.0, 0.4], abs=1e-5)


def test_fishers_interval() -> None:
    assert fisher(0.8, 20) == pytest.approx((0.5534, 0.9176), abs=1e-4)
    assert fisher(0.8, 3) == fisher(1.0, 9) == (-1.0, 1.0)


def test_undefined_cases_are_named() -> None:
    few = agreement(of({"a": 0.1, "b": 0.2}), of({"a": 0.1, "b": 0.2, "c": 0.3}))
    assert (few.mmrv.to_json()["value"], few.pearson.to_json()["value"]) == (None, None)
    assert "fewer than 3" in few.why
    flat = agreement(of({"a": 0.1, "b": 0.2, "c": 0.3}), of(dict.fromkeys("abc", 0.5)))
    assert flat.mmrv.to_json()["value"] is None
    assert "all the same" in flat.why
    blind = agreement(of(dict.fromkeys("abc", 0.5)), of({"a": 0.2, "b": 0.3, "c": 0.4}))
    assert blind.mmrv.value == pytest.approx(0.1)
    assert blind.pearson.to_json()["value"] is None
    assert blind.why == "Pearson is undefined: success is the same for all names here"


def test_rates_are_read(tmp_path: Path) -> None:
    path = tmp_path / "real.csv"
    path.write_text("rate,note,name\n0.5,x, a \n1,,b\n", encoding="utf-8-sig")
    assert read_rates(path, {"a", "b", "c"}) == {"a": (0.5, None), "b": (1.0, None)}
    path.write_text("name,rate,episodes\na,0.5,20\n")
    assert read_rates(path, {"a"}) == {"a": (0.5, 20)}


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "no column name and rate; it has: none"), ("name,success\na,1\n", "no column rate; it has: name, success"),
        ("name,rate\n", "holds no rates"), ("name,rate\na,0.1\na,0.2\n", "line 3: 'a' is named twice"),
        ("name,rate\nx,0.1\n", "unknown name of .*line 2 'x'"), ("name,rate\na,40\n", "line 2: .*40 % is 0.4"),
        ("name,rate\na,nan\n", "a number from 0 to 1"), ("name,rate\na,much\n", "'much'"),
        ("name,rate\n,0.1\n", "line 2: a line is a name and a rate"), ("name,rate\na\n", "line 2: a line is a name"),
        ("name,rate,episodes\na,0.1,\n", "line 2: episodes is ''"), ("name,rate,episodes\na,0.1\n", "is None"),
        ("name,rate,episodes\na,0.1,0\n", "at least 1"), ("name,rate,episodes\na,0.1,4.5\n", "a whole number"),
    ],
)
def test_tables_that_are_wrong_name_the_line(tmp_path: Path, text: str, culprit: str) -> None:
    path = tmp_path / "real.csv"
    path.write_text(text)
    with pytest.raises(ToyShiftError, match=culprit):
        read_rates(path, {"a", "b"})
    with pytest.raises(FileError, match=r"nowhere\.csv cannot be read"):
        read_rates(tmp_path / "nowhere.csv", {"a"})
    path.write_bytes(b"name,rate\n\xff,1\n")
    with pytest.raises(FileError, match="no readable table"):
        read_rates(path, {"a"})
