"""Result files as others write them, and what is wrong with files that they did not."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.diagnostics.comparing.readers import READERS, read_sides
from toyshift.diagnostics.comparing.versus import compare_sides
from toyshift.diagnostics.measuring.planted import by_object, rows_of
from toyshift.diagnostics.rows import Row, read_rows, write_rows

FILES = Path(__file__).parent / "files"


def make_rows(path: Path, successes: str, policy: str = "mine", **changes) -> Path:
    """Writes rows of `toyshift evaluate`: two objects take turns."""
    values = {
        "policy": policy, "pooling": "detpool", "object_set": "toys:test", "seed": 7, "max_height": 0.3, "steps": 60,
        "look": "", "wall_s": 0.5, "purpose": "test",
    }  # fmt: skip
    rows = [
        Row(**{
            **values, "object_id": "ab"[i % 2], "episode": i, "success": mark == "1",
            "failure": "" if mark == "1" else "dropped", **changes,
        })
        for i, mark in enumerate(successes)
    ]  # fmt: skip
    return write_rows(path, rows, {})


def test_rows_of_evaluate(tmp_path):
    (side,) = read_sides([str(make_rows(tmp_path / "rows.parquet", "1101"))])
    assert (side.name, [e.success for e in side.episodes]) == ("mine", [True, True, False, True])
    assert side.episodes[2].failure == "dropped"
    assert side.episodes[0].cluster == ("toys:test", "a")
    assert len({e.start for e in side.episodes}) == 4
    assert read_sides([str(tmp_path)]) == [side]  # the folder will do
    assert side.trained_on == ()
    rows = read_rows(tmp_path / "rows.parquet")
    write_rows(tmp_path / "rows.parquet", rows, {"demonstrated": {"mine": ["ycb-like"]}})
    (again,) = read_sides([str(tmp_path)])
    assert again == dataclasses.replace(side, trained_on=("ycb-like",))


def test_lerobot_eval():
    (side,) = read_sides([str(FILES / "lerobot_act")])
    assert (side.name, len(side.episodes)) == ("lerobot_act", 30)
    assert sum(e.success for e in side.episodes) == 24  # pc_success 80 in the file
    assert json.loads((FILES / "lerobot_act/eval_info.json").read_text())["overall"]["pc_success"] == 80.0
    assert {e.cluster for e in side.episodes} == {("libero_object", str(i)) for i in range(3)}
    assert {e.start for e in side.episodes} == {None}
    assert "no seeds" in side.starts
    (old,) = read_sides([f"act={FILES / 'lerobot_per_episode.json'}"])
    assert (old.name, old.episodes[3].start) == ("act", ("seed", 1003))


def test_vla_eval():
    (side,) = read_sides([str(FILES / "vla_pi0")])
    assert (side.name, len(side.episodes), sum(e.success for e in side.episodes)) == ("vla_pi0", 19, 17)
    assert side.notes == ("1 episodes that ended in an error of the harness are left out",)
    assert side.episodes[0].start == ("LIBEROBenchmark_libero_goal", "open the middle drawer of the cabinet", 0, 7)
    (old,) = read_sides([str(FILES / "vla_old.json")])
    assert [e.success for e in old.episodes] == [True, True, False]


def test_vla_eval_without_a_seed_is_paired_on_demand_alone_and_by_its_episode_numbers(tmp_path):
    def written(name, numbers):
        episodes = [{"episode_id": n, "metrics": {"success": n % 2 == 0}} for n in numbers]
        found = {"benchmark": "LIBERO", "tasks": [{"task": "a", "episodes": episodes}]}
        (tmp_path / name).write_text(json.dumps(found), encoding="utf-8")
        return str(tmp_path / name)

    sides = read_sides([written("a.json", range(10)), written("b.json", range(1, 10))])  # b lost its first one
    assert {e.start for side in sides for e in side.episodes} == {None}
    (apart,) = compare_sides(sides)
    assert not apart.paired
    assert "holds no seed" in apart.why
    (paired,) = compare_sides(sides, pairing="paired")
    assert (paired.paired, paired.episodes, paired.separating) == (True, (9, 9), (0, 0))
    (seeded,) = read_sides([f"seeded={FILES / 'vla_pi0'}"])
    assert [e.number for e in seeded.episodes][:3] == [0, 1, 2]  # so that one with a seed and one without match
    with pytest.raises(ConfigError, match="1 of its episodes more than once"):
        read_sides([written("c.json", [0, 1, 1])])


def test_rows_say_on_what_terms_they_were_played_and_what_was_seen(tmp_path):
    def written(name, facts):
        return str(write_rows(tmp_path / f"{name}.parquet", rows_of(name, by_object(8, 4, 2)), facts))

    facts = {"protocol": 2, "objects_hash": "abc", "config": {"max_steps": 100}}
    merged = facts | {"objects_hash": {"planted": "abc", "other": "x"}}  # as of a folder
    seen = {"seen": {"d": {"planted": {"trained": ["object-0", "object-1"], "unclear": []}}}}
    old = {"config": None}
    a, b, c, d, e = read_sides([
        written("a", facts), written("b", merged), written("c", facts | {"config": {"max_steps": 200}}),
        written("d", facts | {"protocol": 1, "objects_hash": "def"} | seen), written("e", old),
    ])  # fmt: skip
    assert a.terms == b.terms == {"planted": {"protocol": 2, "max_steps": 100, "objects": "abc"}}
    assert compare_sides([a, b])[0].paired
    assert compare_sides([a, e])[0].paired  # one of before, which does not say
    for other, told in ((c, "max_steps 100 and 200"), (d, "protocol 2 and 1, objects abc and def")):
        (found,) = compare_sides([a, other])
        assert (found.paired, found.why) == (False, f"they were played with {told}")
        with pytest.raises(ConfigError, match=f"cannot be paired: they were played with {told}"):
            compare_sides([a, other], pairing="paired")
    (note,) = compare_sides([a, d])[0].notes
    assert note.startswith("d was trained on 2 of these 12: what is said of new objects holds for others")
    assert compare_sides([a, b])[0].notes == ()


def test_vla_evals_recording(tmp_path):
    store = sqlite3.connect(tmp_path / "recording-9d2e.sqlite")
    store.executescript(
        "CREATE TABLE eval_metadata (eval_id TEXT PRIMARY KEY, safe_name TEXT NOT NULL, metadata TEXT NOT NULL);"
        "CREATE TABLE episode_results (sid TEXT NOT NULL, eid TEXT NOT NULL, eval_id TEXT NOT NULL, task_name TEXT,"
        " episode_id INTEGER, status TEXT, metrics TEXT, steps INTEGER, elapsed_sec REAL, context TEXT,"
        " jsonl_path TEXT, failure_reason TEXT, failure_detail TEXT, PRIMARY KEY (sid, eid));"
    )
    about = {"benchmark": "LIBERO", "config": {"params": {"seed": 7}}, "metric_keys": {"success": "mean"}}
    store.execute("INSERT INTO eval_metadata VALUES ('9d2e', 'LIBERO', ?)", (json.dumps(about),))
    episodes = [("a", 0, False, None), ("a", 0, True, None), ("a", 1, False, None), ("b", 0, False, "timeout")]
    for i, (task, episode, success, reason) in enumerate(episodes):  # the first was interrupted, and played again
        row = ("s", str(i), "9d2e", task, episode, "", json.dumps({"success": success}), 9, 1.0, "{}", "", reason, None)
        store.execute(f"INSERT INTO episode_results VALUES ({', '.join('?' * 13)})", row)
    store.commit()
    store.close()
    (side,) = read_sides([f"pi0={tmp_path}"])
    assert [e.start for e in side.episodes] == [("LIBERO", "a", 0, 7), ("LIBERO", "a", 1, 7)]
    assert [e.success for e in side.episodes] == [True, False]
    assert side.notes[0].startswith("1 ")


def test_csv_with_stated_columns(tmp_path):
    columns = {"success": "ok", "object": "item", "start": "trial", "failure": "why"}
    first, second = read_sides([str(FILES / "trials.csv")], columns)
    assert (first.name, second.name, len(first.episodes)) == ("diffusion", "act", 12)
    assert first.episodes[3].failure == "slipped"
    assert first.episodes[0].start == ("", "mug", "", "0")
    plain = tmp_path / "robot.csv"
    plain.write_text("\ufeffsuccess\nyes\nFALSE\n1\n", encoding="utf-8")
    (side,) = read_sides([str(plain)])
    assert (side.name, [e.success for e in side.episodes]) == ("robot", [True, False, True])
    assert side.starts == "the table has no column start, seed or episode"


@pytest.mark.parametrize(
    ("text", "columns", "told"),
    [
        ("object,ok\nmug,1\n", {}, "no column success; it has: object, ok.*--columns success=NAME"),
        ("success\n1\n", {"object": "item"}, "no column 'item' for object; it has: success"),
        ("success,object\n1,mug\n2,mug\n", {}, "line 3: success is '2', not 0 or 1"),
        ("success,object\n1,mug\nnan,mug\n", {}, "line 3: success is 'nan'"),
        ("success,object\n1\n", {}, "line 2: it has not as many values"),
        ("success,object\n1,mug,7\n", {}, "line 2: it has not as many values"),
        ("success,object\n1,\n", {}, "line 2: object is empty"),
        ("success,object\n", {}, "has no episode"),
        ("success,start\n1,a\n0,a\n", {}, "1 of its episodes more than once, e.g"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_says_where(tmp_path, text, columns, told):
    path = tmp_path / "trials.csv"
    path.write_text(text)
    with pytest.raises((ConfigError, FileError), match=told):
        read_sides([str(path)], columns)
    with pytest.raises(UnknownNameError, match="Did you mean 'success'"):
        read_sides([str(path)], {"sucess": "ok"})


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileError, match=r"gone.json does not exist; give result files: rows of"):
        read_sides([str(tmp_path / "gone.json")])
    for name, content, told in (
        ("a.json", "", "is empty"), ("b.json", '{"loss": 1}', "no result file that is known"),
        ("c.txt", "hello", "no result file that is known"), ("d.parquet", "PAR1 truncated", "not a readable rows file"),
        ("e.json", '{"per_task": [{"task_group": "x"}]}', "lacks what lerobot-eval writes"),
        ("f.json", '{"per_task": []}', "has no episode"), ("g.json", '{"benchmark": "x"', "g.json"),
        ("h.json", '{"per_episode": [{"episode_ix": 0, "success": 0.5}]}', "lacks what lerobot-eval writes"),
        ("i.json", '{"benchmark": "B", "tasks": [{"task": "t", "episodes": [{"episode_id": 0, "metrics": {"q": 1}}]}]}',
         "no metric success; it has: q"),
        ("j.json", '{"benchmark": "B", "tasks": [{"episodes": []}]}', "has no episode"),
        ("k.sqlite", "SQLite format 3", "vla-eval"),
    ):  # fmt: skip
        (tmp_path / name).write_text(content)
        with pytest.raises((FileError, ConfigError), match=told):
            read_sides([str(tmp_path / name)])
    assert len(READERS) == 4


def test_names_stay_apart(tmp_path):
    one, two = (str(make_rows(tmp_path / name / "rows.parquet", "10")) for name in "ab")
    assert [side.name for side in read_sides([one, two])] == [f"mine ({one})", f"mine ({two})"]
    assert [side.name for side in read_sides([f"old={one}", f"new={two}"])] == ["old", "new"]
    with pytest.raises(ConfigError, match="given twice"):
        read_sides([one, one])
    with pytest.raises(ConfigError, match="holds 2 policies"):
        read_sides([f"x={FILES / 'trials.csv'}"], {"success": "ok"})


def test_doubled_episodes_are_refused(tmp_path):
    path = make_rows(tmp_path / "rows.parquet", "1101", episode=3)
    with pytest.raises(ConfigError, match=r"mine .* has 2 of its episodes more than once, e.g. toys:test a test 7 3"):
        read_sides([str(path)])
