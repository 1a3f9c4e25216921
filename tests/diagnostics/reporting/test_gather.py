"""What is found in a run's folder: rows, studies, repairs and films; what cannot be taken is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from toyshift.core.errors import FileError, UnknownNameError
from toyshift.core.files import write_json
from toyshift.diagnostics.reporting.found import find_rows, find_studies, plain_command
from toyshift.diagnostics.reporting.gather import films, gather
from toyshift.diagnostics.reporting.page import render_report
from toyshift.diagnostics.rows import Row, write_rows
from toyshift.scripts import cli


def row(policy: str, episode: int, success: bool, **other: Any) -> Row:
    own = {"object_set": "toys:test", "object_id": f"toy{episode % 4}", "seed": 0, **other}
    values = {"max_height": 0.3, "steps": 50, "failure": "", "look": "", "wall_s": 0.1, "purpose": "test"}
    return Row(policy=policy, pooling="", episode=episode, success=success, **{**values, **own})


def study(folder: Path, rows: list[Row], table: Any, command: str = "/bin/toyshift study recipe --out x") -> Path:
    write_rows(folder / "rows" / "cell.parquet", rows, {"command": command})
    write_json(folder / "table.json", table)
    return folder


def test_rows_of_an_older_protocol_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, protocol, won in (("old", None, True), ("older", 1, True), ("new", 2, False)):
        facts = {} if protocol is None else {"protocol": protocol}
        write_rows(tmp_path / name / "rows.parquet", [row("mine", i, won) for i in range(4)], facts)
    data = gather(tmp_path, pictures=False)
    assert [(s.k, s.n) for s in data.success] == [(0, 4)]
    said = capsys.readouterr().err
    for name in ("old", "older"):
        assert f"left out: {tmp_path / name / 'rows.parquet'}: rows of an older protocol" in said
        assert f"{tmp_path / name / 'rows.parquet'}: rows of an older protocol" in render_report(data)


def test_episodes_in_several_files_are_taken_from_the_last_made(tmp_path: Path) -> None:
    for name, made, won in (("a", "2026-02", False), ("b", "2026-01", True)):
        write_rows(tmp_path / name / "rows.parquet", [row("mine", i, won) for i in range(3)], {"made": made})
    assert [r.success for r in find_rows(tmp_path).rows] == [False] * 3


def test_a_study_inside_a_run_keeps_its_rows_to_itself(tmp_path: Path) -> None:
    write_rows(tmp_path / "eval" / "rows.parquet", [row("mine", i, True) for i in range(4)], {})
    folder = study(tmp_path / "recipe" / "results", [row("s0", i, False) for i in range(6)], {"rows": [{"n": 6}]})
    write_json(tmp_path / "recipe" / "seconds.json", {})
    write_rows(tmp_path / "recipe" / "s0" / "rows.parquet", [row("s0", i, False) for i in range(2)], {})
    data = gather(tmp_path, pictures=False)
    assert [s.policy for s in data.success] == ["mine"]
    [panel] = data.studies
    assert (panel.name, panel.title) == ("recipe", "The recipe")
    assert panel.figures[0].numbers.n == "6 episodes in all"
    assert panel.commands[0] == f"toyshift study recipe --results {folder} --tabulate"
    assert panel.commands[1] == "toyshift study recipe --out x"
    alone = gather(tmp_path / "eval", pictures=False, studies=(folder,))
    assert [panel.name for panel in alone.studies] == ["recipe"]


def test_a_table_without_rows_is_no_study(tmp_path: Path) -> None:
    write_json(tmp_path / "table.json", {"a": 1})
    assert find_studies([tmp_path]) == []
    with pytest.raises(FileError, match="holds no results"):
        gather(tmp_path)


@pytest.mark.parametrize("table", [[], 3, {"rows": [{"x": {"difference": 1, "p_value": 1}}]}])
def test_a_table_of_another_shape_is_named(tmp_path: Path, table: Any) -> None:
    study(tmp_path, [row("s0", 0, True)], table)
    with pytest.raises(FileError, match=r"table\.json does not hold what `toyshift study recipe` writes"):
        gather(tmp_path, pictures=False)


@pytest.mark.parametrize("where", ["rows.parquet", "study/rows/cell.parquet", "study/table.json"])
def test_damaged_files_are_named(tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(tmp_path / "rows.parquet", [row("mine", 0, True)], {})
    study(tmp_path / "study", [row("s0", 0, True)], {"rows": []})
    whole = (tmp_path / where).read_bytes()
    (tmp_path / where).write_bytes(whole[: len(whole) // 2])
    assert cli.main(["report", str(tmp_path), "--no-pictures"]) == 2
    assert str(tmp_path / where) in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_the_shifts_of_a_study_are_not_its_table_again(tmp_path: Path) -> None:
    rows = [row("mine", i, True) for i in range(4)]
    rows += [row("mine", i, i > 1, shift="light=3") for i in range(4)]
    study(tmp_path, rows, {"rows": [{"n": 4}], "pairs": []}, "toyshift study shifts --policy mine")
    data = gather(tmp_path, pictures=False)
    assert data.studies == []
    assert [(p.policy, p.control.n, len(p.conditions)) for p in data.shifts] == [("mine", 4, 1)]
    other = study(tmp_path / "masks", rows, {"rows": [{"n": 4}]}, "toyshift study mask-iou")
    assert gather(other, pictures=False).shifts == []  # what its rows mean that study knows alone


def test_repairs_are_told_by_the_folders_of_policies(tmp_path: Path) -> None:
    won = {"plain": (0, 1, 0, 0), "hinted": (1, 1, 1, 0), "other": (0, 0, 0, 0)}
    rows = [
        row(name, i, bool(v), shift=shift)
        for name, own in won.items() for shift in ("", "light=3") for i, v in enumerate(own)
    ]  # fmt: skip
    write_rows(tmp_path / "rows.parquet", rows, {})
    for name, spec in (("plain", ""), ("hinted", "hint?at=0.5")):
        write_json(tmp_path / name / "config.json", {"train": {"repair": spec}})
    [repair] = gather(tmp_path, pictures=False).repair
    assert "hinted was trained with --repair hint?at=0.5; plain is its control" in repair.text
    assert repair.policies == ("plain", "hinted")
    assert [line.title for line in repair.lines] == ["toys:test", "toys:test, light=3"]
    for line in repair.lines:
        assert line.difference.difference.value == 0.5
        assert (line.difference.only_a, line.difference.only_b) == (2, 0)
    write_json(tmp_path / "other" / "config.json", {"train": {"repair": ""}})
    assert gather(tmp_path, pictures=False).repair == []  # of two that were trained without none is the control
    named = gather(tmp_path, pictures=False, control="other").repair
    assert [r.title for r in named] == ["plain", "hinted"]
    with pytest.raises(UnknownNameError, match="hinted"):
        gather(tmp_path, pictures=False, control="hintd")


def test_films_of_shared_starts_come_first(tmp_path: Path) -> None:
    rows = [row(name, i, i == 0) for name in ("before", "after") for i in range(3)]
    rows.append(dataclasses.replace(rows[0], shift="light=3"))  # a film does not say it
    for name, episode in (("before", 1), ("before", 2), ("after", 2)):
        (tmp_path / f"{name}-toys_test-{episode:05d}-toy{episode}.mp4").write_bytes(b"")
    found = films(tmp_path, rows)
    assert [(film.policy, film.start[-1]) for film in found] == [("before", "2"), ("after", "2"), ("before", "1")]
    assert [film.policy for film in films(tmp_path, rows, most=2)] == ["before", "after"]


def test_commands_are_said_as_they_are_typed() -> None:
    assert plain_command("/a/.venv/bin/toyshift evaluate --policy x") == "toyshift evaluate --policy x"
    assert plain_command("/a/scripts/__main__.py study dsl") == "toyshift study dsl"
    assert plain_command("/tmp/mine.py 1") == "/tmp/mine.py 1"


def test_curves_of_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/policy", "b/policy", "c/other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    assert [c.policy for c in gather(tmp_path, pictures=False).curves] == ["a/policy", "b/policy", "other"]
