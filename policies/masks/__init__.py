"""Masks of the target found in images: by colour, against a picture of the empty table, or by a video model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.masks.provider import MaskProvider as MaskProvider
    from toyshift.policies.masks.provider import Prompt as Prompt
    from toyshift.policies.masks.providers import provider_maker as provider_maker

_PLACES = {"MaskProvider": "provider", "Prompt": "provider", "provider_maker": "providers"}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
