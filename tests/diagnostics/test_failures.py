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
        ("penetrated", (False, 0.35, 0.35, True, True)),
        ("penetrated", (False, 0.2, 0.0, True, True)),  # dropped as well
        ("", (True, 0.3, 0.3, True, True)),  # an earlier grasp of an episode that succeeded
    ],
)
def test_failures_are_told_apart(kind, values):
    *usual, penetrated = (*values, False)[:5]
    assert failure_kind(*usual, threshold=0.3, penetrated=penetrated) == kind
    assert kind in ("", *FAILURES)
