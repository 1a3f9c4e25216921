"""Lazy rooms: the public names of a room are imported when they are first used, so that importing the room stays cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(room: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a room: `__getattr__, __dir__ = lazy_names(__name__, PLACES)`.

    Args:
        room: the room's import name.
        places: public name -> module inside the room that holds it; a name that ends its own place, and is not in it,
            is that module.

    Raises:
        AttributeError: by `__getattr__`, for a name that is not public.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {room!r} has no attribute {name!r}; available: {', '.join(sorted(places))}")
        module = importlib.import_module(f"{room}.{places[name]}")
        return getattr(module, name, module) if places[name].rpartition(".")[2] == name else getattr(module, name)

    return get, lambda: sorted(places)
