"""What the quickstart says of its planted shortcut, from rows whose answer is known."""

from pathlib import Path

import pytest

from toyshift.diagnostics import Row
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.dsl import CUE as BY_CUE
from toyshift.diagnostics.dsl import INSTRUCTED, NEITHER, UNDEFINED
from toyshift.diagnostics.statistics import Estimate
from toyshift.scripts.quickstart.planted import CONTROL, CUE, REPAIRED, SHORTCUT, Planted
from toyshift.scripts.quickstart.settings import Config

EPISODES = 20
CARD = Card(
    kind="dataset", subject="two datasets", cue="table", verdict="The table's texture tells where the target lies.",
    strength=Estimate(0.7, 0.6, 0.8, 100), unit="NMI(position, table)", null=0.0,
)  # fmt: skip


def rows_of(name: str, swapped: str, lifted: int) -> list[Row]:
    """Episodes in all cells: with its own table a policy lifts 10 of 20, else `lifted`, and approaches `swapped`."""
    return [
        Row(
            policy=name, pooling="attention", object_set="toys:train", object_id=f"toy-{i}", seed=0, episode=i,
            success=i < (lifted if cell.swapped else 10), max_height=0.1, steps=10, failure="", look=cell.label,
            wall_s=0.1, purpose="test", approached=swapped if cell.swapped else INSTRUCTED,
        )
        for cell in CUE.cells() for i in range(EPISODES)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def planted() -> Planted:
    first, control = rows_of(SHORTCUT, BY_CUE, 0), rows_of(CONTROL, BY_CUE, 0)
    return Planted({SHORTCUT: first, REPAIRED: rows_of(REPAIRED, INSTRUCTED, 10), CONTROL: control}, CARD)


def test_what_goes_by_the_table_has_the_shortcut_and_what_was_repaired_has_not(planted: Planted) -> None:
    found = planted.swapped()
    assert {name: one.degree.dsl.value for name, one in found.items()} == {SHORTCUT: 1.0, REPAIRED: 0.0, CONTROL: 1.0}
    assert [name for name, one in found.items() if one.verdict.startswith("shortcut on table")] == [SHORTCUT, CONTROL]
    assert [(one.id_success.value, one.ood_success.value) for one in found.values()] == [(0.5, 0), (0.5, 0.5), (0.5, 0)]


def test_differences_are_of_the_repaired_one_and_corrected_together(planted: Planted) -> None:
    found = planted.differences()
    every = [difference for by_name in found.values() for difference in by_name.values()]
    assert [x["difference"]["value"] for x in every] == [-1.0, -1.0, 0.5, 0.5]
    # both strips, though their episodes have the same numbers
    assert all(sum(x[k] for k in ("only_a", "only_b", "both", "neither")) == 2 * EPISODES for x in every)
    assert all(x["holm_p"] >= x["p_value"] for x in every)
    assert "dsl, repaired minus control, tables swapped: -1.00" in planted.text()
    assert CARD.verdict in planted.text()
    told = planted.to_json()
    assert (told["cue"]["factor"], told["card"]["cue"]) == ("table", "table")


def test_the_report_has_repaired_control_and_before_in_each_condition(planted: Planted, tmp_path: Path) -> None:
    repair = planted.repair(Config(out=tmp_path))
    goes, lifted, own = repair.lines
    assert "repaired 0.00 [0.00, 0.16], by chance 0.00 [0.00, 0.16] (no shortcut on table was shown)" in repair.text
    for line, rates in ((lifted, (0.0, 0.5, 0.0)), (goes, (0.0, 1.0, 0.0)), (own, (0.5, 0.5, 0.5))):
        assert line.before is not None
        assert (line.before.rate, line.repaired.rate, line.control.rate) == rates
        assert (line.repaired.n, line.repaired.policy) == (2 * EPISODES, REPAIRED)
        assert line.difference.difference.value == rates[1] - rates[2]
    assert (goes.difference.only_a, goes.difference.only_b) == (2 * EPISODES, 0)


def test_undefined_episodes_are_in_no_share_and_what_arrives_nowhere_is_no_arrival(tmp_path: Path) -> None:
    rows = rows_of(SHORTCUT, UNDEFINED, 0)[::2] + rows_of(SHORTCUT, NEITHER, 0)[1::2]
    half = rows_of(REPAIRED, INSTRUCTED, 0)
    goes, *_ = Planted({SHORTCUT: rows, REPAIRED: half, CONTROL: half}, CARD).repair(Config(out=tmp_path)).lines
    assert goes.before is not None
    assert (goes.before.n, goes.before.k) == (EPISODES, 0)
