"""Retention from planted rows: 1 for equal rows, undefined without success on training toys, flags below 20 %."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from toyshift.core.files import write_json
from toyshift.diagnostics.retention import is_undertrained, retentions, training_sets, undertrained
from toyshift.diagnostics.summaries import summarise
from toyshift.diagnostics.tables import retention_table, summary_table

TOYS, NEW = "toys:train", "ycb-like"


@pytest.fixture
def played(row):
    def play(policy: str, object_set: str, wins: int, trials: int = 40, objects: int = 10, **changes):
        return [
            row(i, i < wins, policy, f"{object_set}{i % objects}", object_set=object_set, **changes)
            for i in range(trials)
        ]

    return play


def on_toys(*policies: str) -> dict[str, str]:
    return dict.fromkeys(policies, TOYS)


def test_equal_rows_retain_everything_and_half_of_them_half(played):
    rows = [*played("a", TOYS, 30), *played("a", NEW, 30), *played("b", TOYS, 30), *played("b", NEW, 15)]
    same, half = retentions(summarise(rows), on_toys("a", "b"))
    assert (same.policy, same.object_set, same.training_set) == ("a", NEW, TOYS)
    assert same.ratio.value == 1.0
    assert same.ratio.low < 1.0 < same.ratio.high
    assert same.ratio.low * same.ratio.high == pytest.approx(1.0)
    assert half.ratio.value == 0.5
    assert half.ratio.high < 1.0
    assert half.ratio.n == 20


def test_retention_does_not_depend_on_the_order_of_rows_and_knows_of_objects(played):
    rows = [*played("a", TOYS, 30), *played("a", NEW, 20)]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    [first], [again] = (retentions(summarise(x), on_toys("a")) for x in (rows, shuffled))
    assert first == again
    # each new object always or never lifted: fewer independent outcomes
    alike = [dataclasses.replace(r, object_id=f"object{r.episode // 4}") for r in played("a", NEW, 20)]
    [wide] = retentions(summarise([*rows[:40], *alike]), on_toys("a"))
    assert wide.ratio.value == first.ratio.value
    assert wide.ratio.high - wide.ratio.low > 1.3 * (first.ratio.high - first.ratio.low)


def test_without_success_on_training_toys_it_is_undefined(played):
    rows = [*played("a", TOYS, 0), *played("a", NEW, 4), *played("b", TOYS, 20), *played("b", NEW, 0)]
    undefined, nothing = retentions(summarise(rows), on_toys("a", "b"))
    assert math.isnan(undefined.ratio.value)
    assert json.loads(json.dumps(undefined.to_json()))["ratio"]["value"] is None
    assert (nothing.ratio.value, nothing.ratio.low) == (0.0, 0.0)
    assert 0.1 < nothing.ratio.high < 1.0  # ten objects, none lifted
    *_, first, second = retention_table([undefined, nothing]).splitlines()
    assert first.split() == ["a", NEW, TOYS, "undefined"]
    assert second.split()[:5] == ["b", NEW, TOYS, "0.00", "[0.00,"]
    assert retention_table([]) == ""


def test_a_set_that_was_not_trained_on_is_needed_and_the_same_shift(played):
    shifted = played("a", NEW, 10, shift="camera-azimuth=3")
    rows = [*played("a", TOYS, 30), *played("a", NEW, 20), *shifted]
    assert [r.shift for r in retentions(summarise(rows), on_toys("a"))] == [""]
    rows += played("a", TOYS, 20, shift="camera-azimuth=3")
    assert [(r.shift, r.ratio.value) for r in retentions(summarise(rows), on_toys("a"))] == [
        ("", pytest.approx(2 / 3)), ("camera-azimuth=3", 0.5)
    ]
    assert retentions(summarise(rows), {"a": ""}) == []
    assert retentions(summarise(rows), {}) == []


def test_undertrained_is_below_a_fifth_on_training_toys_and_flagged_in_tables(played):
    assert is_undertrained(0.199)
    assert not is_undertrained(0.2)
    rows = [r for policy, wins in (("weak", 7), ("fair", 8)) for r in played(policy, TOYS, wins)]
    rows += [*played("random", TOYS, 0), *played("weak", NEW, 30), *played("fair", TOYS, 1, shift="camera-azimuth=3")]
    found = summarise(rows)
    assert undertrained(found, on_toys("weak", "fair", "random")) == ["weak"]
    lines = summary_table(found, on_toys("weak", "fair", "random")).splitlines()
    assert sum(line.startswith("weak (undertrained)") for line in lines) == 2  # on both sets
    assert lines[-1].startswith("undertrained: below 20 %")
    assert "undertrained" not in summary_table(found)


def test_a_policys_folder_tells_which_of_the_tested_sets_it_was_trained_on(tmp_path):
    household, toys = {"object_sets": ["toys:household"]}, {"object_sets": [TOYS]}
    write_json(tmp_path / "both" / "config.json", {"trained_on": [household, toys]})
    write_json(tmp_path / "one" / "config.json", {"trained_on": [household]})
    write_json(tmp_path / "older" / "config.json", {"train": {}})  # from before it was written down
    both, one, older = (str(tmp_path / name) for name in ("both", "one", "older"))
    assert training_sets([both, "oracle"], [NEW, TOYS]) == {both: TOYS, "oracle": TOYS}
    assert training_sets([one, older, "ws://a:1"], [NEW, TOYS]) == {one: "", older: "", "ws://a:1": ""}
    assert training_sets([both, one, "random"], ["toys:household", TOYS])["random"] == "toys:household"
    assert training_sets([both, older, "oracle"], [TOYS]) == {both: TOYS, older: "", "oracle": ""}  # they do not agree
    assert training_sets([older, "oracle"], [NEW, TOYS], TOYS) == {older: TOYS, "oracle": TOYS}
