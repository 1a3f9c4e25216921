"""MMRV and Pearson: SimplerEnv's published figures, vectors by hand, and what is undefined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import FileError, ToyShiftError
from toyshift.diagnostics.comparing.agreement import agreement, mmrv, pearson, read_rates

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


def test_agreement_takes_what_both_name_and_has_an_interval() -> None:
    names = [f"shift{i}" for i in range(12)]
    there = {name: i / 11 for i, name in enumerate(names)}
    here = {name: rate**2 for name, rate in there.items()} | {"more": 0.3}
    found = agreement(here, {**there, "not played": 0.5})
    assert found.names == tuple(names)
    assert (found.mmrv.value, found.mmrv.low, found.mmrv.high) == (0.0, 0.0, 0.0)  # a monotone curve
    assert found.pearson.low < found.pearson.value < found.pearson.high < 1.0
    assert found.why == ""
    assert found == agreement(here, there)


def test_undefined_cases_are_named() -> None:
    few = agreement({"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.2, "c": 0.3})
    assert (few.mmrv.to_json()["value"], few.pearson.to_json()["value"]) == (None, None)
    assert "fewer than 3" in few.why
    flat = agreement({"a": 0.1, "b": 0.2, "c": 0.3}, dict.fromkeys("abc", 0.5))
    assert flat.mmrv.to_json()["value"] is None
    assert "all the same" in flat.why
    blind = agreement(dict.fromkeys("abc", 0.5), {"a": 0.2, "b": 0.3, "c": 0.4})
    assert blind.mmrv.value == pytest.approx(0.1)
    assert blind.pearson.to_json()["value"] is None
    assert blind.why == "Pearson is undefined: success is the same for all names here"


def test_rates_are_read(tmp_path: Path) -> None:
    path = tmp_path / "real.csv"
    path.write_text("rate,note,name\n0.5,x, a \n1,,b\n", encoding="utf-8-sig")
    assert read_rates(path, {"a", "b", "c"}) == {"a": 0.5, "b": 1.0}


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "no column name and rate; it has: none"), ("name,success\na,1\n", "no column rate; it has: name, success"),
        ("name,rate\n", "holds no rates"), ("name,rate\na,0.1\na,0.2\n", "line 3: 'a' is named twice"),
        ("name,rate\nx,0.1\n", "unknown name of .*line 2 'x'"), ("name,rate\na,40\n", "line 2: .*40 % is 0.4"),
        ("name,rate\na,nan\n", "a number from 0 to 1"), ("name,rate\na,much\n", "'much'"),
        ("name,rate\n,0.1\n", "line 2: a line is a name and a rate"), ("name,rate\na\n", "line 2: a line is a name"),
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
