"""Floor 5: repairs that turn a dataset into another one."""

from __future__ import annotations

from toyshift.core.lazy import lazy_names

_PLACES = {
    "AUGMENTATIONS": "registry", "augment": "augmenting", "augment_cue": "cue", "augment_viewpoint": "viewpoint",
    "given_by": "sources",
    "listed": "registry", "read_spec": "registry", "sub_datasets": "sources",
}  # fmt: skip
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
