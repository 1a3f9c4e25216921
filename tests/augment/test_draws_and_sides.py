"""Distributions of a spec, and sides of sub-datasets: what the controls draw, and the dependence that each leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.augment import listed, read_spec
from toyshift.augment.augmentation import Around, Augmentation
from toyshift.augment.draws import Draw, FactorSpan
from toyshift.augment.object_swap import ObjectSwap
from toyshift.augment.truths import TWO_SIDES
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.rotations import yaw_to_matrix
from toyshift.envs.shifts import Look

DOCS = Path(__file__).parents[2] / "docs" / "augment.md"
TABLES = FactorSpan("table", 0, 5, whole=True)


def looks(**values: float) -> tuple[Look, ...]:
    return (Look(**values),) * 4  # type: ignore[arg-type]




def test_a_distribution_is_what_its_text_says() -> None:
    rng = np.random.default_rng(0)

    def drawn(text: str, span: FactorSpan) -> list[float]:
        return [Draw.parse(text).draw(span, rng) for _ in range(3000)]

    assert set(drawn("0:2", TABLES)) == {0, 1, 2}
    assert set(drawn("0,5", TABLES)) == {0, 5}
    assert set(drawn("any", TABLES)) == {0, 1, 2, 3, 4, 5}
    assert set(drawn("-3", FactorSpan("azimuth", -180, 180))) == {-3}
    angles = np.asarray(drawn("-30:10", FactorSpan("azimuth", -180, 180)))
    assert -30 <= angles.min() < -29 < 9 < angles.max() <= 10
    assert angles.mean() == pytest.approx(-10, abs=1)  # of the middle: 40 / sqrt(12 * 3000) = 0.2


@pytest.mark.parametrize(("spec", "told"), [
    ("viewpont", "unknown augmentation 'viewpont'. Did you mean 'viewpoint'"),
    ("viewpoint?azimut=3", "unknown key of augmentation viewpoint 'azimut'. Did you mean 'azimuth'"),
    ("viewpoint?azimuth=3:1", "azimuth is '3:1'; the lower end stands first"),
    ("viewpoint?azimuth=x", "LOW:HIGH"), ("viewpoint?azimuth=nan", "LOW:HIGH"),
    ("viewpoint?elevation=30", "elevation is 30; it is from -15 to 15"),
    ("appearance?table=7", "table is 7; whole numbers from 0 to 5"), ("appearance?table=0.5", "whole numbers"),
    ("duplicate?copies=0", "copies must be from 1 to 100, got 0"), ("duplicate?keep=maybe", "yes or no"),
    ("bridge?copies=2", "stands in place of copies"), ("bridge+duplicate?copies=2", "not copies="),
    ("bridge+bridge", "bridge stands once"), ("object-swap+object-swap", "object-swap stands once"),
    ("hint?of=place", "hint changes the training and no dataset: toyshift train --repair 'hint.of=place'"),
    ("toward-own?side=far", "unknown side 'far'. .*nearer, recorded"),
    ("crop?scale=2", "scale is 2; it is from 0.1"),
    ("jitter?colour=2", "colour must be from 0 to 0.9"), ("jitter+", r"nothing on one side of a '\+'"),
])  # fmt: skip
def test_what_is_wrong_with_a_spec_is_said_with_the_choices(spec: str, told: str) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=told):
        read_spec(spec)


def test_every_row_is_read_by_its_name_alone() -> None:
    rows = listed()
    assert len(rows) == 11
    for row in rows:
        step, = read_spec(row["name"])
        assert isinstance(step, Augmentation)
        assert (step.copies, step.keep) == (1, True)


@pytest.mark.skipif(not DOCS.exists(), reason="the tests run against an installed wheel")
def test_the_page_has_every_row_with_its_keys() -> None:
    lines = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    for row in listed():
        line = next(line for line in lines if line.startswith(f"| `{row['name']}` |"))
        same_keys = "as `toward-other`" in line
        assert same_keys or all(f"`{key}" in line for key in row["keys"]), line


def test_where_there_is_no_side_of_its_own_that_is_said() -> None:
    step, = read_spec("toward-own?side=recorded")
    with pytest.raises(ConfigError, match=r"left shows table 1 alone: .* no new look; write side=nearer"):
        step.check(TWO_SIDES)
    step, = read_spec("toward-other")
    with pytest.raises(ConfigError, match="no side of its own"):
        step.check(Around(0, TWO_SIDES.names, (looks(table=1), looks(table=1)), "table"))
    step, = read_spec("bridge")
    with pytest.raises(ConfigError, match="nothing to bridge"):
        step.check(Around(0, TWO_SIDES.names, (looks(table=1), looks(table=1)), "table"))
    with pytest.raises(ConfigError, match="write factor=, one of table, background"):
        step.check(Around(0, TWO_SIDES.names, TWO_SIDES.looks, ""))


def test_an_object_is_put_where_its_own_grasp_is_the_hand_s() -> None:
    def meta(name: str, yaw: float, place: tuple[float, float, float]) -> dict[str, Any]:
        """An object at a place, grasped 2 cm along its own x axis."""
        turn = yaw_to_matrix(yaw)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn, place
        grasp = {"rotation": turn, "position": np.asarray(place) + turn @ [0.02, 0, 0], "width": 0.04}
        return {"object_id": name, "grasp": grasp, "object_pose": pose}

    here, there = meta("a", 0.3, (0.5, 0.1, 0.02)), meta("b", 2.0, (0.4, -0.1, 0.025))
    fit, = ObjectSwap().fits(here, [there])
    grasped = fit.pose[:3, :3] @ [0.02, 0, 0] + fit.pose[:3, 3]
    np.testing.assert_allclose(grasped, [*here["grasp"]["position"][:2], 0.025])  # where it was, at its own height
    np.testing.assert_allclose(fit.pose[:3, :3], yaw_to_matrix(0.3), atol=1e-9)
    assert not ObjectSwap(height=0.004).fits(here, [there])
    assert not ObjectSwap().fits(here, [meta("a", 2.0, (0.4, -0.1, 0.02))])  # it is the same object
