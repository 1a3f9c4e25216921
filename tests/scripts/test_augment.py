"""`toyshift augment`: what it lists, prints and refuses; a wrong word leaves no folder behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.store.dataset import open_dataset
from toyshift.scripts import cli


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demos") / "demos"
    collect(CollectConfig("toys:train?n=6", 3, out, workers=0, image_size=32))
    return out


def test_the_list_names_every_augmentation(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["augment", "--list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["augmentations"]
    assert [row["name"] for row in rows] == [
        "viewpoint", "appearance", "toward-other", "bridge", "object-swap", "reskin", "instructions", "crop", "jitter",
        "duplicate", "toward-own",
    ]  # fmt: skip
    assert [row["name"] for row in rows if row["control"]] == ["duplicate", "toward-own"]


def test_it_says_what_it_measures_before_and_after(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["augment", "appearance?table=any&copies=2", str(demos), str(tmp_path / "out"), "--workers", "1", "--json"]
    assert cli.main(words) == 0
    said = capsys.readouterr()
    result = json.loads(said.out)
    assert (result["episodes"], result["parts"][0]["new"]) == (9, 6)
    rows = {row["measure"]: row for row in result["measures"]}
    assert rows["diversity"]["after"]["value"] > rows["diversity"]["before"]["value"]
    assert rows["disparity"]["before"] is None  # of one dataset
    assert "before [95 %]" in said.err
    assert "Copies count as episodes of their own" in said.err
    old, new = open_dataset(demos), open_dataset(tmp_path / "out")
    assert [new.episode_digest(i) for i in range(3)] == [old.episode_digest(i) for i in range(3)]
    assert cli.main([*words, "--no-measures"]) == 0  # it is finished, and says so
    assert "measures" not in json.loads(capsys.readouterr().out)


def test_the_old_way_to_write_a_viewpoint_makes_the_copies_alone(demos: Path, tmp_path: Path) -> None:
    written = {"old": ["viewpoint", "--azimuth", "-3e1", "30"], "new": ["viewpoint?azimuth=-30:30&keep=no"]}
    for name, (word, *options) in written.items():
        out = str(tmp_path / name)
        assert cli.main(["augment", word, str(demos), out, *options, "--workers", "1", "--no-measures"]) == 0
    old, new = (open_dataset(tmp_path / name) for name in ("old", "new"))
    assert old.num_episodes == 3
    assert [old.episode_digest(i) for i in range(3)] == [new.episode_digest(i) for i in range(3)]


@pytest.mark.parametrize(("words", "told"), [
    (["viewpont", "{demos}", "{out}"], "unknown augmentation 'viewpont'. Did you mean 'viewpoint'"),
    (["viewpoint?turn=3", "{demos}", "{out}"], "unknown key of augmentation viewpoint 'turn'"),
    (["viewpoint?azimuth=5:-5", "{demos}", "{out}"], "the lower end stands first"),
    (["bridge", "{demos}", "{out}"], "bridge needs several sub-datasets"),
    (["viewpoint", "{demos}"], "takes a name, what it reads and what it writes, got 'viewpoint"),
    ([], "takes a name, what it reads and what it writes, got nothing"),
    (["viewpoint", "{demos}", "{demos}"], "cannot be both source and destination"),
    (["crop", "{demos}", "{out}", "--azimuth", "0", "1"], "--azimuth goes with the name viewpoint alone"),
    (["viewpoint", "{demos}", "{out}", "--azimuth", "3", "1"], "--azimuth takes the lower angle first"),
    (["duplicate", "{demos}", "{demos}", "{out}"], "name datasets that differ in their folders' names"),
    (["viewpoint", "nowhere", "{out}"], "nowhere is no dataset"),
    (["duplicate", "{demos}", "{demos}/copies"], "lies in the source"),
    (["sam?rho=0.1", "{demos}", "{out}"], "toyshift train --repair 'sam?rho=0.1'"),
])  # fmt: skip
def test_wrong_words_are_refused_in_one_line(
    words: list[str], told: str, demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["augment", *(word.format(demos=demos, out=out) for word in words)]) == 2
    assert told in capsys.readouterr().err
    assert not out.exists()
    assert not (demos / "copies").exists()
