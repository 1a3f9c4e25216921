"""Random streams: episode i of root seed s draws everything from SeedSequence(s, spawn_key=(i, ...))."""

from __future__ import annotations

import hashlib

import numpy as np

from toyshift.core.errors import ConfigError


def episode_rng(seed: int, episode: int, stream: str = "") -> np.random.Generator:
    """Returns the generator of one episode.

    The same (seed, episode, stream) gives the same numbers in any process, whatever ran before.

    Args:
        seed: root seed of the run.
        episode: index of the episode in the run.
        stream: name of an independent stream inside the episode (e.g. "planner"); "" is the environment's.

    Raises:
        ConfigError: a negative seed or episode.
    """
    if seed < 0 or episode < 0:
        raise ConfigError(f"seed is {seed} and episode {episode}; neither may be negative")
    key: tuple[int, ...] = (episode,)
    if stream:
        key += (int.from_bytes(hashlib.sha256(stream.encode()).digest()[:4], "big"),)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
