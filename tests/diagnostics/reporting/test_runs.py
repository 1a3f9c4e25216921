"""Several runs beside each other: paired where starts are shared, and why not where they are not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from toyshift.core.errors import FileError
from toyshift.core.files import write_json
from toyshift.diagnostics.reporting.chapter_data import RunsPanel
from toyshift.diagnostics.reporting.gather_runs import gather_runs
from toyshift.diagnostics.reporting.page import render_report
from toyshift.diagnostics.reporting.runs import run_numbers
from toyshift.diagnostics.rows import Row, write_rows
from toyshift.diagnostics.statistics import holm
from toyshift.scripts import cli

WON = {"a": (1, 1, 1, 1, 1, 1, 1, 0), "b": (0, 0, 0, 0, 1, 1, 0, 0)}  # 5 starts only a, none only b


def rows_of(
    policy: str, won: tuple[int, ...], object_set: str = "toys:test", shift: str = "", seed: int = 0
) -> list[Row]:
    return [
        Row(policy, "", object_set, f"toy{i}", seed, i, bool(v), 0.3, 50, "", "", 0.1, shift=shift, purpose="test")
        for i, v in enumerate(won)
    ]  # fmt: skip


def written(folder: Path, rows: list[Row], protocol: int = 2, numpy: str = "1") -> Path:
    facts = {"protocol": protocol, "versions": {"numpy": numpy}, "command": "toyshift x"}
    write_rows(folder / "rows.parquet", rows, facts)
    return folder


def panel_of(folders: list[Path]) -> RunsPanel:
    panel = gather_runs(folders).runs
    assert panel is not None
    return panel


def test_shared_starts_are_compared_in_pairs(tmp_path: Path) -> None:
    folders = []
    for name, won in WON.items():
        rows = rows_of("mine", won) + rows_of("mine", won[::-1], shift="light=3") + rows_of("oracle", won)
        folders.append(written(tmp_path / name, rows, numpy=name))
    panel = panel_of(folders)
    assert panel.runs == ["a", "b"]
    assert [(line.policy, line.condition) for line in panel.lines] == [
        ("mine", "toys:test"), ("mine", "toys:test, light=3"), ("oracle", "toys:test"),
    ]
    first, other = panel.lines[0].cells
    assert first is not None
    assert first.versus is None
    assert other is not None
    versus = other.versus
    assert versus is not None
    assert versus.paired
    assert versus.separating == (5, 0)
    assert versus.difference == 5 / 8
    p = 2 * 0.5**5  # McNemar's, exact
    assert versus.holds[0].p_value == pytest.approx(p)
    assert versus.holds[0].p_holm == pytest.approx(holm([p, p])[0])  # oracle with oracle is no comparison
    assert all(cell is None or cell.versus is None for cell in panel.lines[2].cells)
    assert panel.facts == {"versions numpy": {"a": "a", "b": "b"}}
    lines = run_numbers(panel).lines
    assert [line.get("difference") for line in lines[:2]] == [None, 5 / 8]
    assert lines[1]["why"].startswith("paired: purpose, seed and episode")


def test_other_protocols_and_other_starts_are_not_paired_and_it_is_said(tmp_path: Path) -> None:
    rows = rows_of("mine", WON["a"])
    folders = [written(tmp_path / "a", rows), written(tmp_path / "b", rows_of("mine", WON["b"]), protocol=1)]
    folders.append(written(tmp_path / "c", rows_of("mine", WON["b"], seed=5)))
    cells = panel_of(folders).lines[0].cells
    whys = [cell.versus.why for cell in cells[1:] if cell and cell.versus and not cell.versus.paired]
    assert whys == ["they were played with protocol 2 and 1", "no start is shared"]
    page = render_report(gather_runs(folders))
    assert page.count("not paired</small>") == 2
    assert "not paired: they were played with protocol 2 and 1" in page


def test_runs_without_a_common_policy_have_their_first_compared(tmp_path: Path) -> None:
    folders = []
    for name, won in WON.items():
        rows = rows_of("oracle", WON["a"]) + rows_of(f"{name}-policy", won) + rows_of(f"{name}-more", won)
        folders.append(written(tmp_path / name, rows))
    lines = panel_of(folders).lines
    assert lines[0].policy == ""
    assert [cell and cell.policy for cell in lines[0].cells] == ["a-policy", "b-policy"]
    assert lines[0].cells[1] is not None
    assert lines[0].cells[1].versus is not None
    assert [line.policy for line in lines[1:]] == ["a-more", "b-more", "oracle"]


def test_other_sets_are_shown_and_not_compared(tmp_path: Path) -> None:
    folders = [written(tmp_path / name, rows_of("mine", won, f"set:{name}")) for name, won in WON.items()]
    lines = panel_of(folders).lines
    assert [[cell is not None for cell in line.cells] for line in lines] == [[True, False], [False, True]]
    assert all(cell is None or cell.versus is None for line in lines for cell in line.cells)


def test_what_a_shell_names_besides_runs_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, won in WON.items():
        written(tmp_path / name, rows_of("mine", won))
    (tmp_path / "c.log").write_text("x")
    (tmp_path / "empty").mkdir()
    write_json(tmp_path / "a" / "card-mine.json", {"kind": "policy"})
    words = ["report", *map(str, sorted(tmp_path.iterdir())), "--json"]
    assert cli.main(words) == 2
    assert "card-mine.json does not hold" in capsys.readouterr().err
    (tmp_path / "a" / "card-mine.json").unlink()
    assert cli.main(words) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["runs"] == ["a", "b"]
    assert answer["out"] == str(tmp_path / "runs.html")
    left_out = [f"{tmp_path / 'c.log'}: not a folder.", f"{tmp_path / 'empty'}: no rows of episodes."]
    assert sorted(answer["left_out"]) == sorted(left_out)
    page = (tmp_path / "runs.html").read_text()
    assert all(told in said.err and told in page for told in left_out)


def test_one_run_among_empty_folders_is_no_comparison(tmp_path: Path) -> None:
    written(tmp_path / "a", rows_of("mine", WON["a"]))
    (tmp_path / "b").mkdir()
    told = r"b: no rows of episodes there; to compare runs, two .*; `toyshift report \S+/a` shows the one"
    with pytest.raises(FileError, match=told):
        gather_runs([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "b" / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(FileError, match=str(tmp_path / "b" / "rows.parquet")):
        gather_runs([tmp_path / "a", tmp_path / "b"])


def test_studies_beside_a_single_run_are_shown_and_the_run_is_named(tmp_path: Path) -> None:
    written(tmp_path / "a", rows_of("mine", WON["a"]))
    write_rows(tmp_path / "dsl" / "rows" / "cell.parquet", rows_of("s0", WON["a"]), {"command": "toyshift study dsl"})
    write_json(tmp_path / "dsl" / "table.json", {"cues": [{"n": 8}]})
    data = gather_runs([tmp_path / "a", tmp_path / "dsl"])
    assert data.runs is None
    assert [study.name for study in data.studies] == ["dsl"]
    told = f"{tmp_path / 'a'}: the only run with rows, and so compared with none"
    assert [text.partition(";")[0] for text in data.left_out] == [told]


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [written(tmp_path / name / "eval", rows_of("mine", won)) for name, won in WON.items()]
    assert panel_of(folders).runs == [str(folder) for folder in folders]


def test_options_of_one_run_are_refused_for_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path), str(tmp_path), "--control", "mine"]) == 2
    assert "--control is of one run" in capsys.readouterr().err
    assert cli.main(["report"]) == 2
    assert "RUNDIR" in capsys.readouterr().err


def test_shifts_stay_apart_by_run(tmp_path: Path) -> None:
    won = WON["a"]
    rows = rows_of("mine", won) + rows_of("mine", (0,) * 8, shift="light=3") + rows_of("oracle", won)
    data = gather_runs([written(tmp_path / "a", rows), written(tmp_path / "b", [dataclasses.replace(r) for r in rows])])
    assert [panel.policy for panel in data.shifts] == ["mine (a)", "mine (b)"]
