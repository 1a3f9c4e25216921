"""Success under changes: the same episodes with and without, and success on what a policy was trained on."""

from __future__ import annotations

import json

import pytest

from toyshift.core.files import write_json
from toyshift.diagnostics import changes
from toyshift.diagnostics.changes import ChangedSuccess, changes_of, changes_table, training_objects
from toyshift.diagnostics.measures import Asked


def test_a_change_is_paired_by_episode(row):
    plain = [row(i, i < 6, object_id=f"toy{i}") for i in range(8)]
    dark = [row(i, 2 <= i < 7, object_id=f"toy{i}", look="light=0.5|1.6") for i in range(8)]
    found = ChangedSuccess.of_rows({"": plain, "light": dark}, plain[:4])
    change = found.change["light"]
    assert (change.only_a, change.only_b, change.both, change.neither) == (1, 2, 4, 1)
    assert change.difference.value == pytest.approx(-1 / 8)
    assert list(found.change) == ["light"]
    assert (found.training.k, found.training.n) == (4, 4)
    assert found.under["light"].look == "light=0.5|1.6"
    assert ChangedSuccess.from_json(json.loads(json.dumps(found.to_json()))) == found
    unknown = ChangedSuccess.of_rows({"": plain})
    assert unknown.training is None
    assert ChangedSuccess.from_json(unknown.to_json()) == unknown


@pytest.fixture
def played(monkeypatch, row):
    """What is played, in place of playing it; everything succeeds but what is changed."""
    played = []

    def rows_of(config, out):
        played.append((config.objects, dict(config.look), config.seed, config.purpose, out.name))
        look = "changed" if config.look else ""
        return [row(i, not look, look=look, object_set=config.objects) for i in range(config.trials)]

    monkeypatch.setattr(changes, "evaluate_all", lambda asked, pool: [rows_of(*one) for one in asked])
    return played


def ask(folder, training_set, trials=4):
    return Asked(
        policy=str(folder), objects="toys:test", training_set=training_set, scenes=2, looks=1, trials=trials,
        camera="", seed=5, out=folder,
    )  # fmt: skip


def test_every_factor_and_the_training_toys_are_played(played, tmp_path):
    found = changes_of(ask(tmp_path, "toys:train"))
    assert played[0] == ("toys:test", {}, 1005, "test", f"{tmp_path.name}_plain.parquet")
    assert [list(look) for _, look, *_ in played[1:-1]] == [[factor] for factor in changes.DEFAULT_FACTORS]
    assert played[-1] == ("toys:train", {}, 1005, "test", f"{tmp_path.name}_training.parquet")
    assert (found.training.object_set, found.training.rate) == ("toys:train", 1.0)
    assert {change.difference.value for change in found.change.values()} == {-1.0}
    assert changes_table(found).count("toys:train") == 1


def test_changes_begin_from_the_usual_look_of_the_data(played, tmp_path):
    asked = ask(tmp_path, "toys:train")
    vars(asked)["base_look"] = {"table": 3, "light": 0.5}  # of data that are not there
    found = changes_of(asked)
    looks = [look for _, look, *_ in played]
    assert looks[0] == looks[-1] == {"table": 3, "light": 0.5}
    assert looks[1] == {"table": (1, 2, 0), "light": 0.5}  # its own level is no change
    assert looks[4] == {"table": 3, "light": (1.0, 1.6)}
    assert {change.difference.value for change in found.change.values()} == {0.0}  # pairs, whatever their looks


def test_the_set_that_is_looked_at_is_played_once_and_nothing_for_no_trials(played, tmp_path):
    assert changes_of(ask(tmp_path, "toys:test")).training.object_set == "toys:test"
    assert len(played) == 1 + len(changes.DEFAULT_FACTORS)
    assert changes_of(ask(tmp_path, "toys:train", trials=0)) is None


def test_training_objects_are_those_of_the_demonstrations_or_unknown(played, tmp_path):
    def trained_on(*sets):
        write_json(tmp_path / "config.json", {"trained_on": [{"object_sets": names} for names in sets]})
        return training_objects(str(tmp_path))

    assert training_objects(str(tmp_path)) == ""  # a folder of before it was written down
    assert changes_of(ask(tmp_path, "")).training is None
    assert trained_on(["toys:train"], ["toys:train"]) == "toys:train"
    assert changes_of(ask(tmp_path, "")).training.object_set == "toys:train"
    assert trained_on(["toys:train"], ["toys:train", "ycb-like"]) == "toys:train+ycb-like"
    assert trained_on(["toys:train"], []) == ""  # of others, who do not say
