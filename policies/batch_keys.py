"""Keys of a training batch beyond the batch contract: augmentation, instructions, and what frozen encoders saw."""

from __future__ import annotations

# (B,) int64 or (B, 384) float32, see `Instructions`; also the name of the exported graph's input
INSTRUCTION = "instruction"

# Augmentation, drawn by `training/augmentation.py` and applied on the training device by `Policy.forward`
STATE_NOISE = "augment.state"  # (B, S) in standardised units
KEPT_VIEWS = "augment.keep"  # (B, V) bool, False where a view is hidden; the same for all steps of a history
NOISE = "augment.noise"  # (B, T, K, A), for heads that start from noise
NOISE_TIME = "augment.time"  # (B, T) in [0, 1], likewise

# Of repairs (`repairs/`)
HINT = "hint."  # start of the keys of what a policy is to tell beside its actions
HINT_VALUE, HINT_VALID = f"{HINT}value", f"{HINT}valid"  # (B, T, d), (B, T) 1 where there is one
SETUP = "setup"  # (B,) int64, the number of the dataset that a sample is of
UNLABELLED = "unlabelled."  # start of the keys of a second batch, whose actions are not looked at

FROZEN = "frozen."  # start of the keys that stand in the place of images and masks, see `network/frozen.py`


def gain_key(camera: str) -> str:
    """Returns the key of a view's factors per colour channel (B, 3)."""
    return f"augment.gain.{camera}"


def bias_key(camera: str) -> str:
    """Returns the key of a view's shift of all pixels (B,), in units of the standardised pixel."""
    return f"augment.bias.{camera}"


def token_key(camera: str) -> str:
    """Returns the key of a view's pooled token (..., D)."""
    return f"{FROZEN}token.{camera}"


def coverage_key(camera: str) -> str:
    """Returns the key of the share of each patch (..., N) that the target covers, for poolings on the target."""
    return f"{FROZEN}coverage.{camera}"


def place_key(camera: str) -> str:
    """Returns the key of the place (..., 4) that a crop was cut out of."""
    return f"{FROZEN}place.{camera}"
