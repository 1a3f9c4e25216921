"""Floor 5: repairs that turn a dataset into another one; names are imported when first used."""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {"ViewpointConfig": "viewpoint", "augment_viewpoint": "viewpoint"}

__all__ = ["ViewpointConfig", "augment_viewpoint"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; available: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
