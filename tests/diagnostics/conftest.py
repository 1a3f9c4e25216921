"""Rows with everything filled in but what a test is about."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from toyshift.diagnostics.rows import Row


def make_row(episode=0, success=False, policy="detpool", object_id="ball", **changes) -> Row:
    values = {
        "policy": policy, "pooling": "detpool", "object_set": "toys:test", "object_id": object_id, "seed": 7,
        "episode": episode, "success": success, "max_height": 0.31 if success else 0.01, "steps": 60,
        "failure": "" if success else "not_lifted", "look": "", "wall_s": 0.5,
    }
    return Row(**{**values, **changes})


@pytest.fixture
def row() -> Callable[..., Row]:
    return make_row
