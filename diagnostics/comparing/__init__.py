"""Policies compared on result files of any origin: readers, pairs of episodes, differences with verdicts, splits."""

from __future__ import annotations

PAIRINGS = ("auto", "paired", "unpaired")  # whether episodes of two sides are taken as the same starts
SPLITS = ("object", "factor", "shift", "failure", "distance")  # what a comparison can be taken apart by
