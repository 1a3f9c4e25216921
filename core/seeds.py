"""Random streams: episode i of root seed s draws everything from SeedSequence(s, spawn_key=(i, ...))."""

from __future__ import annotations

import hashlib

import numpy as np

from toyshift.core.errors import ConfigError


def stream(seed: int, *key: int) -> np.random.Generator:
    """Returns the generator of SeedSequence(seed, spawn_key=key).

    Streams of different keys are independent, and the same in any process.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def episode_rng(seed: int, episode: int, name: str = "") -> np.random.Generator:
    """Returns the generator of one episode.

    The same (seed, episode, name) gives the same numbers in any process, whatever ran before.

    Args:
        seed: root seed of the run.
        episode: index of the episode in the run.
        name: of an independent stream inside the episode (e.g. "planner"); "" is the environment's.

    Raises:
        ConfigError: a negative seed or episode.
    """
    if seed < 0 or episode < 0:
        raise ConfigError(f"seed is {seed} and episode {episode}; neither may be negative")
    named = (int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big"),) if name else ()
    return stream(seed, episode, *named)
