"""Floor 5: repairs that turn a dataset into another one."""

from __future__ import annotations

from toyshift.core.lazy import lazy_names

_PLACES = {"augment_cue": "cue", "augment_viewpoint": "viewpoint"}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
