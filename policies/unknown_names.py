"""What is unlike all that was said in training, and how it is said with "object" in the place of the name.

After GenCLIP, which asks for an unknown class by a general prompt beside its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.errors import ConfigError

GENERAL = "object"
LEAST = 3  # different sentences, below which nobody knows how alike known ones are


def threshold(known: Float32, share: float) -> float:
    """Returns the cosine below which a sentence counts as unknown.

    It is that quantile of the cosines of each known sentence to the nearest other one: of sentences of the training's
    kind, about this share would be taken for unknown.

    Args:
        known: (N, D) embeddings of different sentences, of length 1.
        share: between 0 and 1.

    Raises:
        ConfigError: there are too few to tell.
    """
    if len(known) < LEAST:
        raise ConfigError(
            f"a fallback for unknown names needs {LEAST} different instructions in training, there are {len(known)}; "
            "train on more, or without it"
        )
    cosines = known.astype(np.float64) @ known.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    return float(np.quantile(cosines.max(axis=1), share))


def is_unknown(sentence: Float32, known: Float32, least: float) -> bool:
    """Says whether an embedding (D,) is less like the nearest known one (N, D) than `least`."""
    return float((known.astype(np.float64) @ sentence.astype(np.float64)).max()) < least


def in_general(known: Sequence[str]) -> str:
    """Returns what all known sentences have in common at their start and end, with "object" between.

    Of "pick up the red toy" and "pick up the mug" it is "pick up the object".
    """
    split = [sentence.split() for sentence in known]
    start = _common(split)
    rest = [words[len(start) :] for words in split]
    end = _common([words[::-1] for words in rest])[::-1]
    return " ".join([*start, GENERAL, *end])


def _common(sentences: Sequence[Sequence[str]]) -> list[str]:
    """Returns the words that all sentences start with."""
    found = []
    for words in zip(*sentences, strict=False):
        if len(set(words)) > 1:
            break
        found.append(words[0])
    return found
