"""Benchmarks with a version: what is in one stays, an edited file is refused, scores are those of the rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.bench.page import bench_page, pairwise
from toyshift.diagnostics.bench.playing import configs_of
from toyshift.diagnostics.bench.result_file import HASHED, KEY, BenchResult, Facts, digest_of, read_result, write_result
from toyshift.diagnostics.bench.score_card import score, score_table
from toyshift.diagnostics.bench.versions import NEW, SHIFTS, TOYSHIFT_1, BenchVersion, version
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.rows import MANIFEST_KEY
from toyshift.scripts.bench import play, table
from toyshift.toys import load_objects

FACTS = Facts(
    name=TOYSHIFT_1.name, digest=TOYSHIFT_1.digest, policy="p", fingerprint="f", protocol=PROTOCOL, renderer="llvmpipe",
    masks="truth", trained_on=("toys:train",),
)  # fmt: skip


def rows_of(policy: str, rate: Callable[[str], float], seed: int = 0) -> list[Row]:
    """Rows of a benchmark, in which a share of each part succeeds, by its name."""
    rng, found = np.random.default_rng(seed), []
    for part in TOYSHIFT_1.parts:
        wins = rng.permutation(part.episodes) < round(rate(part.name) * part.episodes)
        scene = ",".join(f"{k}={v}" for k, v in part.kwargs.items())
        found += [
            Row(policy, "", part.objects, f"{part.objects}-{i % 50}", 1001, i, bool(won), 0.3, 30,
                "" if won else "dropped", "", rng.random(), shift=part.shift, purpose="test", scene=scene)
            for i, won in enumerate(wins)
        ]  # fmt: skip
    return found


def result(folder: Path, policy: str, rate: Callable[[str], float], seed: int = 0, **facts: Any) -> BenchResult:
    own = dataclasses.replace(FACTS, policy=policy, **facts)
    made_by = {"git": "abc", "versions": {"toyshift": "0.0.9"}}
    return write_result(folder / f"{policy}.parquet", own, rows_of(policy, rate, seed), made_by)


def test_what_is_in_toyshift_1_never_changes() -> None:
    assert TOYSHIFT_1.digest == "b59f2d7f755cd2ef"
    assert TOYSHIFT_1.episodes == 1940
    for objects, digest in TOYSHIFT_1.ids.items():
        assert json_hash(list(load_objects(objects).ids)) == digest


def test_every_start_of_a_shift_has_its_control() -> None:
    configs = configs_of(TOYSHIFT_1, "p", "p")
    plain = next(c for c in configs if c.objects == NEW and not c.shift)
    for config in configs:
        if config.shift or config.env.kwargs:
            assert (config.objects, config.seed, config.purpose) == (plain.objects, plain.seed, "test")
            assert config.trials <= plain.trials
    assert [c.shift for c in configs if c.shift] == [f"{name}=3" for name in SHIFTS]


def test_other_objects_are_another_benchmark() -> None:
    with pytest.raises(ConfigError, match=r"ToyShift-1 is played on toys:test with ids of hash .* another benchmark"):
        TOYSHIFT_1.check_objects({NEW: ("a", "b")})
    with pytest.raises(UnknownNameError, match="ToyShift-1"):
        version("ToyShift-2")


def test_the_hash_is_of_all_but_the_wall_time(tmp_path: Path) -> None:
    one = result(tmp_path / "a", "p", lambda name: 0.5)
    again = [dataclasses.replace(row, wall_s=1.0) for row in one.rows]
    assert write_result(tmp_path / "b.parquet", one.facts, again, {"git": "other"}).digest == one.digest
    assert read_result(one.path) == one
    other = [dataclasses.replace(one.rows[0], steps=31), *one.rows[1:]]
    assert write_result(tmp_path / "c.parquet", one.facts, other, {}).digest != one.digest


def test_a_column_that_rows_get_later_changes_no_older_hash(tmp_path: Path) -> None:
    """A file of before rows had `events` is read, and its hash is that of the columns that it has."""
    made = result(tmp_path, "p", lambda name: 0.5)
    table_ = pq.read_table(made.path)
    older = digest_of(made.facts, made.rows, [name for name in HASHED if name != "events"])
    assert older != made.digest
    facts = read_rows_manifest(made.path)
    facts[KEY]["hash"] = older
    without = table_.drop_columns(["events"]).replace_schema_metadata({MANIFEST_KEY: json.dumps(facts)})
    pq.write_table(without, tmp_path / "older.parquet")
    assert read_result(tmp_path / "older.parquet").digest == older
    pq.write_table(table_.drop_columns(["events"]), tmp_path / "cut.parquet")
    with pytest.raises(FileError, match=r"cut.parquet was changed since it was written"):
        read_result(tmp_path / "cut.parquet")
    pq.write_table(table_.append_column("note", table_["failure"]), tmp_path / "more.parquet")
    with pytest.raises(FileError, match=r"more.parquet has the columns note, which no result of this version"):
        read_result(tmp_path / "more.parquet")


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("{oops", "has a manifest that is no JSON"), ("[1]", "has a manifest that is no JSON object"),
        ({KEY: ["a"]}, "is no result of a benchmark; `toyshift bench --policy P` writes one"),
        ({}, "is no result of a benchmark"), ({"trained_on": None}, "its fact trained_on is None"),
        ({"protocol": "2"}, "its fact protocol is '2'; it must be a whole number"),
        ({"hash": 5}, "was changed since it was written: its rows and facts do not have its hash, 5"),
        ({"masked": True}, "has the unknown facts masked: it was changed"),
    ],
)  # fmt: skip
def test_a_manifest_that_was_edited_is_refused_by_name(tmp_path: Path, edit: Any, told: str) -> None:
    path = result(tmp_path, "p", lambda name: 0.5).path
    facts = read_rows_manifest(path)
    if isinstance(edit, dict):
        own = edit if not edit or KEY in edit else {**facts, KEY: facts[KEY] | edit}
        edit = json.dumps(own)
    pq.write_table(pq.read_table(path).replace_schema_metadata({MANIFEST_KEY: edit}), path)
    with pytest.raises(FileError, match=f"p.parquet {told}|p.parquet was changed since it was written: {told}"):
        read_result(path)


def test_what_is_no_result_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none.parquet does not exist; `toyshift bench --policy P` writes a result"):
        read_result(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(FileError, match=r"text.parquet is not a readable rows file"):
        read_result(tmp_path / "text.parquet")


@pytest.mark.parametrize("what", ["a row", "a fact", "a row less", "another version", "no benchmark", "older facts"])
def test_a_file_that_was_edited_is_refused(tmp_path: Path, what: str) -> None:
    path = result(tmp_path, "p", lambda name: 0.5).path
    rows, facts = read_rows(path), read_rows_manifest(path)
    if what == "a row":
        rows[7] = dataclasses.replace(rows[7], success=not rows[7].success)
    elif what == "a fact":
        facts[KEY]["masks"] = "detector"
    elif what == "a row less":
        rows = rows[:-1]
    elif what == "another version":
        facts[KEY]["digest"] = "0"
    elif what == "no benchmark":
        del facts[KEY]
    elif what == "older facts":
        del facts[KEY]["shortcut"]
    write_rows(path, rows, facts)
    told = {"no benchmark": "is no result of a benchmark", "older facts": "lacks the facts shortcut: it was changed"}
    with pytest.raises(FileError, match=told.get(what, "was changed since")):
        read_result(path)


def test_a_result_of_other_definitions_is_refused(tmp_path: Path) -> None:
    made = result(tmp_path, "p", lambda name: 0.5, digest="another")
    with pytest.raises(FileError, match="of another ToyShift-1 than this installation's"):
        read_result(made.path)
    short = write_result(tmp_path / "short.parquet", FACTS, made.rows[:5], {})
    with pytest.raises(FileError, match="holds 5 episodes; ToyShift-1 has 1940"):
        read_result(short.path)


def test_rows_of_another_protocol_are_not_put_beside(tmp_path: Path) -> None:
    result(tmp_path, "new", lambda name: 0.5)
    old = result(tmp_path, "old", lambda name: 0.5, protocol=PROTOCOL - 1)
    told = rf"{old.path} holds rows of protocol {PROTOCOL - 1}, .* plays protocol {PROTOCOL}: .* \(ToyShift 0.0.9\)"
    with pytest.raises(FileError, match=told):
        table.main(table.Config(results=(tmp_path,), out=tmp_path / "page.html"))
    assert not (tmp_path / "page.html").exists()


def test_scores_are_those_of_the_rows(tmp_path: Path) -> None:
    rates = {"training toys": 0.8, "household": 0.4, "new toys": 1.0, "table-texture": 0.1}
    card = score(result(tmp_path, "p", lambda name: rates.get(name, 1.0)))
    wins = {name: one.k for name, one in card.success.items()}
    assert wins == {"training toys": 160, "household": 160, "new toys": 300}
    assert {name: round(one.value, 3) for name, one in card.retention.items()} == {"household": 0.5, "new toys": 1.25}
    dearest = card.costs[0]
    assert (dearest.name, dearest.rate, round(dearest.drop.value, 3)) == ("table-texture", 0.1, 0.9)
    assert card.sensitive_to == ["table-texture"]
    assert card.mean_drop.value == pytest.approx(0.9 / 13)
    assert card.mean_drop.low <= card.mean_drop.value <= card.mean_drop.high
    assert not card.undertrained
    assert "sensitive to: table-texture" in score_table(card)


def test_shifts_that_cost_nothing_are_rarely_shown(tmp_path: Path) -> None:
    """Holm over the shifts: with no effect at all, at most 5 % of policies are said to be sensitive to anything."""
    shown = sum(bool(score(result(tmp_path, "p", lambda name: 0.6, seed)).sensitive_to) for seed in range(12))
    assert shown <= 2  # P(more than 2 of 12 at 5 %) = 2 %


def test_a_page_ranks_says_who_is_better_and_warns(tmp_path: Path) -> None:
    results = [
        result(tmp_path, "good", lambda name: 0.9),
        result(tmp_path, "weak", lambda name: 0.5, 1, trained_on=("toys:train", "ycb-like"), renderer="other"),
        result(tmp_path, "lost", lambda name: 0.1, 2, shortcut="takes the table's texture for the target's place"),
    ]
    verdicts = {(v.first, v.second, v.group): v.holds[1].verdict for v in pairwise(results)}
    assert verdicts["good", "weak", "household"] == "better"
    assert len(verdicts) == 6
    page = bench_page(results[::-1])
    places = [page.index(f">{name}<") for name in ("good", "weak", "lost (undertrained)")]
    assert places == sorted(places)  # the best first, however they were given
    assert "Undertrained, below 20 % on training toys, so that the rest says nothing: lost." in page
    assert "weak says that it was trained on toys:train, ycb-like: its success on household is not zero-shot." in page
    assert "Images were drawn by llvmpipe, other" in page
    assert "takes the table&#39;s texture for the target&#39;s place" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    twin = result(tmp_path / "twin", "good", lambda name: 0.9)
    told = rf"results of several policies called good: {results[0].path}, {twin.path}; leave all but one out"
    with pytest.raises(ConfigError, match=told):
        bench_page([results[0], twin])


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = result(tmp_path / "r", "p", lambda name: 0.5)
    found = table.main(table.Config(results=(tmp_path / "r", made.path), out=tmp_path / "page.html"))
    assert len(found["policies"]) == 1  # the file that is named twice is read once
    assert found["policies"][0]["hash"] == made.digest
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    planned = play.main(play.Config(policy="oracle", dry_run=True))
    assert planned["episodes"] == TOYSHIFT_1.episodes
    assert "table-texture=3" in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"holds no \*.parquet; `toyshift bench --policy P --out"):
        table.main(table.Config(results=(tmp_path / "empty",), out=tmp_path / "x.html"))
    with pytest.raises(ConfigError, match="has starts of its own"):
        play.Config(policy="oracle", seed=1)


def test_it_is_played_and_played_again_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version of a few episodes, played by the random policy: the same hash from nothing, and from half of it."""
    from toyshift.diagnostics.bench import playing, result_file

    parts = [part for part in TOYSHIFT_1.parts if part.name in ("training toys", "new toys", "object-mass", "clutter")]
    small = BenchVersion("Small-1", 5, tuple(dataclasses.replace(p, episodes=2) for p in parts), TOYSHIFT_1.ids)
    monkeypatch.setattr(result_file, "version", {"Small-1": small}.__getitem__)
    first = playing.play_benchmark(small, "random", "random", tmp_path / "a", {}, workers=0)
    again = playing.play_benchmark(small, "random", "random", tmp_path / "b", {}, workers=0)
    for path in sorted((tmp_path / "a" / "rows").rglob("*.parquet"))[:2]:
        path.unlink()
    resumed = playing.play_benchmark(small, "random", "random", tmp_path / "a", {}, workers=0)
    assert first.digest == again.digest == resumed.digest
    assert read_result(first.path).facts.renderer == "none"
    assert pq.read_table(first.path).num_rows == 8
    assert score(first).policy == "random"
