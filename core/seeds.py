"""Random streams: episode i of root seed s draws everything from SeedSequence(s, spawn_key=(i, ...)).

An episode has a purpose, which is in the key: a policy is never tested on a start that it was trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toyshift.core.choices import PURPOSES
from toyshift.core.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np


def stream(seed: int, *key: int) -> np.random.Generator:
    """Returns the generator of SeedSequence(seed, spawn_key=key).

    Streams of different keys are independent, and the same in any process.
    """
    import numpy as np  # imported here: --help needs none

    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def episode_rng(seed: int, episode: int, name: str = "", purpose: str = "collection") -> np.random.Generator:
    """Returns the generator of one episode.

    The same (seed, episode, name, purpose) gives the same numbers in any process, whatever ran before.

    Args:
        seed: root seed of the run.
        episode: index of the episode in the run.
        name: of an independent stream inside the episode (e.g. "planner"); "" is the environment's.
        purpose: of `PURPOSES`; (seed, episode) of one purpose has nothing to do with the same of another.

    Raises:
        ConfigError: a negative seed or episode.
        UnknownNameError: no such purpose.
    """
    if seed < 0 or episode < 0:
        raise ConfigError(f"seed is {seed} and episode {episode}; neither may be negative")
    if purpose not in PURPOSES:
        raise UnknownNameError("purpose", purpose, PURPOSES)
    own = f"purpose:{purpose}" if purpose != PURPOSES[0] else ""
    return stream(seed, episode, *(_word(text) for text in (own, name) if text))


def object_of_episode(ids: Sequence[str], seed: int, episode: int) -> tuple[str, int]:
    """Returns the object of an episode of an evaluation and how many earlier episodes had it.

    A pure function of (ids, seed, episode): episodes go through the set in rounds; each round visits every object once
    in an order drawn from the seed.
    """
    round_, place = divmod(episode, len(ids))
    order = episode_rng(seed, round_, "object-order").permutation(len(ids))
    return ids[int(order[place])], round_


def _word(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
