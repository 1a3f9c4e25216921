"""Studies whose evaluations end soon: policies trained for a few steps lift nothing, however long they try."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from toyshift.diagnostics import EvaluateConfig

STEPS = 15


@pytest.fixture(autouse=True, scope="module")
def _short_episodes() -> Iterator[None]:
    """Episodes end after 15 control steps where a study does not say how long they are."""
    options = inspect.signature(EvaluateConfig).parameters.values()
    names = [option.name for option in options if option.default is not inspect.Parameter.empty]
    given = dict(zip(names, EvaluateConfig.__init__.__defaults__ or (), strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluateConfig.__init__, "__defaults__", tuple((given | {"max_steps": STEPS}).values()))
        assert EvaluateConfig("random", "toys:train", 1).max_steps == STEPS
        yield
