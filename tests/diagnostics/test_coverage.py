"""Intervals hold the truth as often as they say: a part of the grid of `benchmarks/interval_coverage.py`."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.diagnostics.comparing import agreement

RUNS = 300


@pytest.mark.parametrize(
    "name", ["wilson", "clustered", "paired-episodes", "paired-objects", "unpaired-episodes", "unpaired-objects"]
)
def test_intervals_cover(name, benchmark_file):
    """Every cell within simulation error of 93 %, and their mean within the band; few outcomes make some cover more."""
    cells = benchmark_file("interval_coverage").simulate(name, RUNS, seed=1, enough=True, every=7)
    covered = np.array([cell["covered"] for cell in cells])
    error = np.sqrt(0.93 * 0.07 / RUNS)
    assert covered.min() > 0.93 - 3 * error
    assert 0.93 < covered.mean() < 0.98


def test_bounds_of_mmrv_and_intervals_of_correlations_cover(benchmark_file, monkeypatch):
    coverage = benchmark_file("interval_coverage")
    assert min(cell["covered"] for cell in coverage.simulate("mmrv", RUNS, seed=1, every=5)) == 1.0
    error = np.sqrt(0.93 * 0.07 / RUNS)
    assert min(cell["covered"] for cell in coverage.simulate("agreement", RUNS, seed=1)) > 0.93 - 3 * error
    # bounds that take rates as they are found for the true ones are found out
    monkeypatch.setattr(agreement, "rate_bounds", lambda rates, confidence: (np.array(rates)[:, 0],) * 2)
    assert min(cell["covered"] for cell in coverage.simulate("mmrv", RUNS, seed=1, every=5)) < 0.2


def test_the_exam_would_fail_an_interval_that_ignores_objects(benchmark_file, monkeypatch):
    coverage = benchmark_file("interval_coverage")
    monkeypatch.setattr(
        coverage.statistics, "clustered_interval",
        lambda k, size: coverage.wilson_interval(k.sum(-1), size.sum(-1), coverage.Z),
    )  # fmt: skip
    cells = coverage.simulate("clustered", 50, seed=1, enough=True, every=7)
    assert min(cell["covered"] for cell in cells) < 0.6


def test_intervals_that_are_not_asked_for_keep_their_lines(tmp_path, benchmark_file, monkeypatch):
    coverage = benchmark_file("interval_coverage")
    file = tmp_path / "cells.csv"

    def simulate(seed, *names):
        given = ["x", "--interval", *names, "--simulations", "20", "--seed", str(seed), "--out", str(tmp_path)]
        monkeypatch.setattr("sys.argv", given)
        coverage.main()
        return file.read_text().splitlines()

    both, again = simulate(0, "rank-correlation", "wilson"), simulate(0, "rank-correlation")
    assert [line.split(",")[0] for line in (both[1], both[-1])] == ["wilson", "rank-correlation"]
    assert again == both
    other = simulate(1, "wilson")
    kept = [line for line in both if not line.startswith("wilson")]
    assert [line for line in other if not line.startswith("wilson")] == kept
    assert other != both
