"""The state's layout: one table for names, bounds, readers and mirrors, importable without a simulator."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from toyshift.core.proprioception import HAND, MIRRORED, TARGET, bounds_of, names_of, proprioception

PARTS = proprioception(("joint1", "joint2"))


def test_every_entry_has_one_name_and_bounds_in_order() -> None:
    names = names_of((*PARTS, *TARGET))
    assert len(set(names)) == len(names) == 2 + 14 + 12
    assert names[:4] == ("joint1", "joint2", "gripper.opening", "eef.x")
    low, high = bounds_of(PARTS)
    assert low.shape == high.shape == (16,)
    assert low.dtype == np.float32
    assert (low < high).all()
    assert (low[2], high[2]) == (np.float32(-0.5), np.float32(1.5))
    assert {part.read for part in HAND}.isdisjoint(part.read for part in TARGET)


def test_a_mirror_negates_what_points_along_y_and_nothing_else() -> None:
    """A hand pose mirrored at y = 0, with its closing direction reversed, has the table's entries negated."""
    mirror = np.diag([1.0, -1.0, 1.0])
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    flipped = mirror @ turn @ np.diag([-1.0, 1.0, 1.0])  # x of the hand closes: either way
    pairs = {f"eef.r{row}{column}": (turn, flipped) for row in (1, 2, 3) for column in (1, 2)}
    for name, (before, after) in pairs.items():
        row, column = int(name[-2]) - 1, int(name[-1]) - 1
        assert after[row, column] == pytest.approx(before[row, column] * (-1 if name in MIRRORED else 1))
    assert {"eef.y", "lag.y"} < set(MIRRORED)
    assert not {"eef.x", "eef.z", "lag.x", "gripper.opening", "command.gripper"} & set(MIRRORED)


def test_policies_read_it_without_a_simulator() -> None:
    code = "import sys, toyshift.core.proprioception; sys.exit('mujoco' in sys.modules or 'gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
