"""What modules inside a network return, kept while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


@contextlib.contextmanager
def outputs_of(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Keeps what modules return while this lasts, by name; of several calls the last."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given, out: kept.update({name: out})

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()
