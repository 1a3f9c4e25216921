"""Patching: networks of known wiring give the share that is true, for every pooling; pairs have nothing in common."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from toyshift.diagnostics.measuring.inside import Inside, acted, encoded
from toyshift.diagnostics.measuring.patching import (
    CONTEXT,
    IMAGE,
    INSTRUCTION,
    INTERACTION,
    REST,
    STATE,
    TARGET,
    pairs_of,
    patched,
    patching,
    paths_of,
)
from toyshift.diagnostics.measuring.planted_networks import network, scenes
from toyshift.policies.parts import POOLINGS

LINEAR = {"detpool", "detpool-post", "box", "mean", "mask-channel"}  # poolings that are means of tokens


def shares(inside: Inside, which: int = 0) -> dict[str, float]:
    return {line["path"]: line["share"] for line in patching(inside)[which].table}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_adds_up(pooling: str) -> None:
    """All paths together are the other scene, and no path is another's: of a linear network nothing is left."""
    policy = network(pooling, linear=True)
    inside = scenes(policy, 8, 2)
    base, n = encoded(policy, inside.shown[""]), len(inside.objects)
    other = base.take(np.roll(np.arange(n), 2))
    mixed = base
    for path in paths_of(policy):
        assert np.allclose(acted(policy, patched(base, base, path)), acted(policy, base), atol=1e-6)
        mixed = patched(mixed, other, path)
    assert np.allclose(acted(policy, mixed), acted(policy, other), atol=1e-5)
    found = shares(inside)
    together = found.pop(INTERACTION)
    assert set(found) == {*paths_of(policy), REST}
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-6)
    assert (together < 1e-6) == (pooling in LINEAR or IMAGE in found)
    if POOLINGS[pooling].on_target:
        assert found[CONTEXT] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("pooling", "reads", "target", "path"),
    [("detpool", "images", True, TARGET), ("mean", "images", False, CONTEXT), ("attention", "images", False, CONTEXT),
     ("mean", "state", True, STATE), ("crop", "images", True, IMAGE)],
)  # fmt: skip
def test_what_a_network_reads_has_all_of_it(pooling: str, reads: str, target: bool, path: str) -> None:
    found = patching(scenes(network(pooling, reads), target=target))[0]
    by_path = {line["path"]: line for line in found.table}
    assert by_path[path]["share"] == pytest.approx(1.0, abs=1e-4)
    assert by_path[path]["low"] == pytest.approx(1.0, abs=1e-4)
    assert all(abs(line["share"]) < 1e-4 for name, line in by_path.items() if name != path)
    assert f"comes in by the {path}" in found.verdict
    assert found.card == found.verdict
    assert ("a crop around the target has no tokens" in " ".join(found.caveats)) == (pooling == "crop")


def test_a_changed_look_comes_in_where_it_is_seen() -> None:
    inside = scenes(network("mean", "images"))
    assert [finding.subject for finding in patching(inside)] == [
        "planted, another scene", "planted, table", "planted, object_colour",
    ]  # fmt: skip
    assert shares(inside, 1)[CONTEXT] == pytest.approx(1.0, abs=1e-4)
    assert shares(inside, 2)[TARGET] == pytest.approx(1.0, abs=1e-4)
    assert patching(inside)[1].null == 0.0  # a second draw of noise that is kept
    robust = patching(scenes(network("detpool", "images")))[1]
    assert robust.verdict.startswith("undefined: table hardly moves the action (0.000 standard deviations)")


def test_an_unrelated_scene_goes_nowhere_on_average() -> None:
    """Patched by a third scene against the base, a path of share 1 would seem to carry a half."""
    found = patching(scenes(network("mean", "state"), 40, 4))[0]
    line = next(line for line in found.table if line["path"] == STATE)
    assert line["null low"] < 0.0 < line["null high"]
    assert abs(line["null"]) < 0.2
    assert found.table[1]["null"] == 0.0


def test_paths_that_act_together_say_so() -> None:
    """An action that is the product of what the images and the state say is nobody's alone."""
    policy = network("detpool", "images")
    inside = scenes(policy)
    plain = policy.decide

    def product(steps: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return plain(steps, state) * state[:, :1, None].sign()

    policy.decide = product  # type: ignore[assignment]
    found = patching(inside)[0]
    by_path = {line["path"]: line["share"] for line in found.table}
    assert by_path[REST] == pytest.approx(0.0, abs=1e-9)  # by symmetry
    assert by_path[INTERACTION] > 0.25
    assert "the paths act together" in found.verdict or found.card == ""
    assert shares(scenes(network("detpool", "images")))[INTERACTION] == pytest.approx(0.0, abs=1e-6)


def test_pairs_have_nothing_in_common() -> None:
    names = np.repeat(["a", "b", "c", "d", "e"], 4).tolist()
    scene, look = np.repeat(np.arange(10), 2), np.tile([0, 1], 10)
    pairs = pairs_of(names, scene, look)
    assert pairs is not None
    by_number = np.array(names)
    for row in range(len(pairs.base)):
        four = [by_number[getattr(pairs, name)[row]] for name in ("base", "other", "third", "fourth")]
        assert len(set(four)) == 4
        assert len({look[getattr(pairs, name)[row]] for name in ("base", "other", "third", "fourth")}) == 1
    apart = {c: {*by_number[pairs.base[pairs.clusters == c]], *by_number[pairs.other[pairs.clusters == c]]}
             for c in pairs.clusters.tolist()}  # fmt: skip
    assert apart == {0: {"a", "b"}, 1: {"c", "d"}}
    assert len(pairs.base) == 16
    assert pairs_of(names[:12], scene[:12], look[:12]) is None


def test_few_objects_and_a_network_that_never_moves_are_undefined() -> None:
    one = patching(scenes(network("mean"), 1))
    assert [finding.verdict[:9] for finding in one] == ["undefined"] * 3
    three = patching(scenes(network("mean", "images"), 3))
    assert three[0].verdict == (
        "undefined: it takes 4 objects, two pairs that have nothing to do with each other; there are 3"
    )
    assert math.isfinite(three[1].value.value)
    assert three[1].verdict == "too few objects to tell who drives the action"
    assert three[1].card == ""
    still = patching(scenes(network("mean", "nothing")))
    assert all("hardly moves the action (0.000 standard deviations)" in finding.verdict for finding in still)


def test_an_instruction_is_a_path_of_its_own() -> None:
    policy = network("mean", instruction="table", vocabulary=("red", "blue"))
    inside = scenes(policy, 8, 2)
    told = np.arange(len(inside.objects), dtype=np.int64) // 2 % 2  # each pair of objects is told two things
    shown = {name: dataclasses.replace(one, instruction=told) for name, one in inside.shown.items()}
    inside = dataclasses.replace(inside, shown=shown, again=shown[""])
    assert paths_of(policy) == (TARGET, CONTEXT, STATE, INSTRUCTION)
    assert abs(shares(inside)[INSTRUCTION]) > 0.05
    assert shares(inside, 1)[INSTRUCTION] == 0.0
