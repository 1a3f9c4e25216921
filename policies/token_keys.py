"""Keys under which a batch holds what frozen encoders saw, in the place of images and masks; see `frozen.py`."""

from __future__ import annotations

FROZEN = "frozen."


def token_key(camera: str) -> str:
    """Returns the key of a view's pooled token (..., D)."""
    return f"{FROZEN}token.{camera}"


def coverage_key(camera: str) -> str:
    """Returns the key of the share of each patch (..., N) that the target covers, for poolings on the target."""
    return f"{FROZEN}coverage.{camera}"


def place_key(camera: str) -> str:
    """Returns the key of the place (..., 4) that a crop was cut out of."""
    return f"{FROZEN}place.{camera}"
