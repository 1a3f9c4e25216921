"""The room itself: lazy, and every name it promises exists."""

from __future__ import annotations

import subprocess
import sys

import pytest

import toyshift.diagnostics as room


def test_importing_the_room_loads_nothing_heavy():
    code = (
        "import sys, toyshift.diagnostics as d; d.EvaluateConfig; d.SensitivityConfig; d.ReportData; d.write_report; "
        "heavy = ('torch', 'mujoco', 'pyarrow', 'scipy', 'jinja2', 'av', 'PIL', 'gymnasium'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_promised_name_exists():
    assert all(getattr(room, name) is not None for name in dir(room))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = room.nonsense
