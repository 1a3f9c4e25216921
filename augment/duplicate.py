"""Control: plain copies. What copies under new looks bring beyond these is the looks', not that there is more."""

from __future__ import annotations

import dataclasses

from toyshift.augment.augmentation import Augmentation


@dataclasses.dataclass(frozen=True)
class Duplicate(Augmentation):
    """The same episodes once more."""

    states = False
