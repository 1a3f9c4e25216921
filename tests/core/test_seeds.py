"""Random streams: a pure function of seed, episode and stream, and never of a negative number."""

from __future__ import annotations

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng


def test_streams_repeat_and_differ() -> None:
    first = episode_rng(3, 5, "planner").random()
    assert first == episode_rng(3, 5, "planner").random()
    others = ((3, 5), (3, 6, "planner"), (4, 5, "planner"), (3, 5, "other"))
    assert len({first, *(episode_rng(*key).random() for key in others)}) == 5


@pytest.mark.parametrize(("seed", "episode"), [(-1, 0), (0, -1)])
def test_negative_numbers_are_refused(seed: int, episode: int) -> None:
    with pytest.raises(ConfigError, match="may be negative"):
        episode_rng(seed, episode)
