"""Planted truths: what is measured of data whose answer is known, so that measures and repairs can be believed."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Truth:
    """One planted answer.

    Attributes:
        planted: what was planted, in words.
        truth: what is to be measured.
        measured: what was.
        within: by how much the two may differ.
    """

    planted: str
    truth: float
    measured: float
    within: float

    @property
    def ok(self) -> bool:
        return bool(abs(self.measured - self.truth) <= self.within)
