"""Random streams: a pure function of seed, episode and stream, and never of a negative number."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.core.choices import PURPOSES
from toyshift.core.errors import ConfigError, UnknownNameError
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


def test_no_stream_of_one_purpose_is_one_of_another() -> None:
    episodes = range(10_000)
    firsts = {p: {int(episode_rng(0, i, purpose=p).integers(2**63)) for i in episodes} for p in PURPOSES}
    assert all(len(found) == len(episodes) for found in firsts.values())
    assert len(set.union(*firsts.values())) == len(PURPOSES) * len(episodes)


def test_collection_draws_what_it_always_drew() -> None:
    bare = np.random.Generator(np.random.PCG64(np.random.SeedSequence(3, spawn_key=(5,))))
    assert episode_rng(3, 5).random() == episode_rng(3, 5, purpose="collection").random() == bare.random()


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="purpose"):
        episode_rng(0, 0, purpose="training")
