"""The replay command: the same bits from any row, and one line where there is a reason not to play."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.diagnostics.bench.result_file import KEY, Facts, write_result
from toyshift.diagnostics.bench.versions import TOYSHIFT_1
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, write_rows
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts import cli
from toyshift.scripts.origins import origin_of
from toyshift.scripts.replay import Config, chosen_row

SET = "toys:train?n=2"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, grasp_policy: Callable[..., Path]) -> Path:
    """The folder of an evaluation of two policies: the expert, and one with random weights that is shown wrong masks
    late.
    """
    folder = tmp_path_factory.mktemp("replay")
    env = GraspEnv(EnvConfig(objects=SET, image_size=32))
    grasp_policy(folder / "p", env, pooling="detpool", chunk=4, execute=2)
    env.close()
    asked = ["--objects", SET, "--trials", "2", "--workers", "1", "--max-steps", "5", "--no-references"]
    late = ["--masks", "noisy:0.6", "--latency", "0.2", "--shift", "camera-azimuth=2"]
    both = ["--policy", "oracle", "--policy", str(folder / "p")]
    assert cli.main(["evaluate", *both, *asked, *late, "--out", str(folder / "eval")]) == 0
    return folder


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, dict]:
    code = cli.main(["replay", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_rows_of_the_command_come_out_bit_for_bit(evaluated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_rows(evaluated / "eval" / "rows.parquet")
    assert {row.policy for row in rows} == {"oracle", "p [masks noisy:0.6] [latency 0.2 s]"}
    for number, row in ((1, rows[1]), (2, rows[2])):
        code, said = told(capsys, evaluated / "eval" / "rows.parquet", "--row", number, "--no-film")
        assert (code, said["differs"], said["film"]) == (0, {}, None)
        assert said["now"] | {"wall_s": 0} == dataclasses.asdict(row) | {"wall_s": 0}


def test_a_film_changes_nothing_and_a_moved_policy_is_named(
    evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    av = pytest.importorskip("av")
    [file] = (evaluated / "eval" / "rows").glob("p_*.parquet")
    (evaluated / "p").rename(evaluated / "moved")
    try:
        assert cli.main(["replay", str(file), "--episode", "1"]) == 2
        assert f"{evaluated / 'p'}, which is not there; --policy DIR" in capsys.readouterr().err
        film = tmp_path / "film.mp4"
        words = ("--episode", 1, "--policy", evaluated / "moved", "--out", film, "--size", 64)
        code, said = told(capsys, file, *words)
    finally:
        (evaluated / "moved").rename(evaluated / "p")
    assert (code, said["differs"], said["film"]) == (0, {}, str(film))
    with av.open(str(film)) as container:
        assert len(list(container.decode(video=0))) == 1 + said["now"]["steps"]


def changed(evaluated: Path, out: Path, row: dict | None = None, **facts: object) -> Path:
    """Writes the expert's rows with something changed."""
    [file] = (evaluated / "eval" / "rows").glob("oracle-*.parquet")
    first, *rest = read_rows(file)
    return write_rows(out, [dataclasses.replace(first, **(row or {})), *rest], read_rows_manifest(file) | facts)


def test_a_row_that_was_changed_is_found(evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = changed(evaluated, tmp_path / "x.parquet", {"max_height": 0.25, "steps": 4})
    code, said = told(capsys, file, "--episode", "0", "--no-film")
    assert code == 1
    assert said["differs"]["steps"] == [4, 5]
    assert said["differs"]["max_height"][0] == 0.25
    assert set(said["differs"]) == {"steps", "max_height"}


@pytest.mark.parametrize(
    ("row", "facts", "match"),
    [
        ({}, {"protocol": PROTOCOL + 1}, f"rows of protocol {PROTOCOL + 1}, and this version of ToyShift plays"),
        ({}, {"policy_hash": "f00d"}, "oracle is not what .* its content has the hash oracle, then f00d"),
        ({}, {"objects_hash": "f00d"}, "toys:train.n=2 is not what .* was made with"),
        ({}, {"run_key": None, "config": {"cells": 3}, "protocol": PROTOCOL}, "does not say how its rows were played"),
        ({"seed": 5}, {}, "row 0 is not of what the file says it is of: seed 5 beside 0"),
    ],
)
def test_rows_that_cannot_be_played_again_are_refused(
    row: dict, facts: dict, match: str, evaluated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if facts.get("run_key", "") is None:
        [file] = (evaluated / "eval" / "rows").glob("oracle-*.parquet")
        path = write_rows(tmp_path / "x.parquet", read_rows(file), {k: v for k, v in facts.items() if v is not None})
    else:
        path = changed(evaluated, tmp_path / "x.parquet", row, **facts)
    with pytest.raises(FileError, match=match):
        cli.run(["replay", str(path), "--row", "0", "--no-film"])
    capsys.readouterr()


def rows_of(*facts: dict) -> list[Row]:
    plain = Row("p", "", "s", "o", 0, 0, True, 0.3, 9, "", "", 0.0)
    return [dataclasses.replace(plain, **own) for own in facts]


def test_a_row_is_chosen_by_what_tells_it_from_the_others() -> None:
    rows = rows_of({"policy": "a", "shift": "x=1"}, {"policy": "a"}, {"policy": "b"}, {"policy": "b", "episode": 7})
    cfg = Config(rows=Path("f"), name="b", episode=7)
    assert chosen_row(cfg, rows) == (3, rows[3])
    assert chosen_row(Config(rows=Path("f"), shift="", name="a"), rows)[0] == 1
    assert chosen_row(Config(rows=Path("f"), row=2), rows)[0] == 2
    told = r"3 rows of f are meant; say which by --name \('a', 'b'\), --shift \('', 'x=1'\), --row \(0 to 2\)"
    with pytest.raises(ConfigError, match=told):
        chosen_row(Config(rows=Path("f"), episode=0), rows)
    with pytest.raises(ConfigError, match=r"--episode is 8; these rows of f have 0, 7"):
        chosen_row(Config(rows=Path("f"), episode=8), rows)
    with pytest.raises(UnknownNameError, match="Available: a, b"):
        chosen_row(Config(rows=Path("f"), name="c"), rows)
    with pytest.raises(ConfigError, match="--row is 4; f holds the rows 0 to 3"):
        chosen_row(Config(rows=Path("f"), row=4), rows)
    with pytest.raises(FileError, match="holds no rows"):
        chosen_row(Config(rows=Path("f")), [])


def test_every_row_of_a_benchmark_knows_its_part(tmp_path: Path) -> None:
    rows = [
        Row("p", "", part.objects, "o", TOYSHIFT_1.seed, i, True, 0.3, 9, "", "", 0.0, shift=part.shift, purpose="test")
        for part in TOYSHIFT_1.parts for i in range(part.episodes)
    ]
    facts = Facts(
        name=TOYSHIFT_1.name, digest=TOYSHIFT_1.digest, policy="p", fingerprint="f00d", protocol=PROTOCOL,
        renderer="none", masks="noisy:0.6",
    )
    options = {"policy": "runs/p", "remote_execute": "3"}
    path = write_result(tmp_path / "b.parquet", facts, rows, {"config": options}).path
    said = read_rows_manifest(path)
    first = sum(part.episodes for part in TOYSHIFT_1.parts[:5])
    for number, part in ((0, TOYSHIFT_1.parts[0]), (first, TOYSHIFT_1.parts[5]), (len(rows) - 1, TOYSHIFT_1.parts[-1])):
        found = origin_of(path, said, number, rows[number])
        assert (found.config.objects, found.config.shift, found.config.env.kwargs) == (
            part.objects, part.shift, part.kwargs,
        )
        assert (found.config.policy, found.config.env.masks, found.config.remote.execute) == ("runs/p", "noisy:0.6", 3)
        assert found.policy_hash == "f00d"
    write_rows(path, rows[1:], said)
    with pytest.raises(FileError, match="was changed since it was written"):
        origin_of(path, said, 0, rows[0])
    with pytest.raises(FileError, match="rows of protocol 0"):
        origin_of(path, said | {KEY: said[KEY] | {"protocol": 0}}, 0, rows[0])
