"""Kinds of failure: told apart by heights and contact."""

from __future__ import annotations

import pytest

from toyshift.diagnostics.failures import FAILURES, failure_kind


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("", (True, 0.3, 0.3, True)),
        ("no_contact", (False, 0.0, 0.0, False)),
        ("not_lifted", (False, 0.01, 0.0, True)),
        ("dropped", (False, 0.2, 0.0, True)),
        ("not_held", (False, 0.31, 0.3, None)),
        ("timeout", (False, 0.2, 0.2, None)),
    ],
)
def test_failures_are_told_apart(kind, values):
    assert failure_kind(*values, threshold=0.3) == kind
    assert kind in ("", *FAILURES)
