"""Rows are played again: what a file says of an evaluation is read back whole, and differences are named."""

from __future__ import annotations

import dataclasses
import json

import pytest

from toyshift.core.errors import FileError
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.late import Latency
from toyshift.diagnostics.replaying import differences_of, evaluation_of
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.swapped_cells import BesideCell, StripCell, SwapCell, ToldCell
from toyshift.policies.remote.options import RemoteOptions

SPAN, OTHER = (0.0, 0.1), (0.2, 0.3)
CELLS = [
    SwapCell("a", "b", "table", SPAN, (1.0, 2.0), OTHER, True),
    StripCell("a", "a", "azimuth", SPAN, SPAN, OTHER, beside=(SPAN, OTHER)),
    ToldCell("a", "b", "light", (SPAN, OTHER)),
    BesideCell("a", "b", "choice", 0.05),
]
ROW = Row("p", "", "toys:test", "a", 1, 2, True, 0.1 + 0.2, 9, "", "", 1.0, trials=3)


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"seed": 7, "max_steps": 60, "purpose": "validation", "shift": "camera-azimuth=3", "name": "x"},
        {"look": {"table": (1, 2, 3), "light": 0.5}},
        {"env": EnvSpec({"cameras": ("front",), "clutter": "2-6"}, "noisy:0.6")},
        {"latency": Latency(0.2, 0.05, "wait"), "remote": RemoteOptions("libero", "libero", 4)},
        *({"cell": cell} for cell in CELLS),
    ],
)
def test_what_a_file_says_of_an_evaluation_is_read_back(own):
    config = EvaluateConfig("runs/p", "toys:test", trials=5, **own)
    said = json.loads(json.dumps(config.to_json()))  # as it comes out of a file
    back = evaluation_of(said, "rows.parquet")
    assert back.to_json() == config.to_json()
    assert (back.cell, back.latency, back.remote) == (config.cell, config.latency, config.remote)
    assert (back.look_label, back.env.scene, back.env.masks) == (config.look_label, config.env.scene, config.env.masks)


def test_older_files_say_less_and_mean_what_is_usual():
    said = EvaluateConfig("oracle", "ycb-like").to_json()
    for name in ("cell", "latency", "remote"):
        del said[name]
    assert evaluation_of(said, "x") == EvaluateConfig("oracle", "ycb-like")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"gravity": 1}, "x was played with gravity, which this version"),
        ({"env": {"make_env": "other:Env"}}, "another simulator, other:Env"),
        ({"env": {"masks": "truth", "depth": 1}}, "does not say how it was played.*depth"),
        ({"max_steps": 0}, "does not say how it was played.*max_steps"),
        ({"cell": {"place_of": "a"}}, "a cell of place_of is none that is known"),
    ],
)
def test_what_cannot_be_played_here_is_refused_by_name(wrong, match):
    with pytest.raises(FileError, match=match):
        evaluation_of(EvaluateConfig("oracle", "ycb-like").to_json() | wrong, "x")


def test_one_bit_is_a_difference_and_the_wall_time_is_none():
    assert differences_of(ROW, dataclasses.replace(ROW, wall_s=2.0)) == {}
    assert differences_of(ROW, dataclasses.replace(ROW, max_height=0.3)) == {"max_height": (0.1 + 0.2, 0.3)}
    moved = dataclasses.replace(ROW, success=False, events="reached@1")
    assert differences_of(ROW, moved) == {"success": (True, False), "events": ("", "reached@1")}
    assert differences_of(ROW, moved, ("success", "steps")) == {"success": (True, False)}  # a file of before events
