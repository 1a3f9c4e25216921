"""Lazy rooms: names are imported when they are first used, so that importing a room or a table stays cheap."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(room: str, places: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the `__getattr__` and `__dir__` of a room: `__getattr__, __dir__ = lazy_names(__name__, PLACES)`.

    Args:
        room: the room's import name.
        places: public name -> module inside the room that holds it, or, of a name that is a module itself, the inner
            room it is in.

    Raises:
        AttributeError: by `__getattr__`, for a name that is not public.
    """

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {room!r} has no attribute {name!r}; available: {', '.join(sorted(places))}")
        place = f"{room}.{places[name]}"
        module = importlib.import_module(place)
        return getattr(module, name) if hasattr(module, name) else importlib.import_module(f"{place}.{name}")

    return get, lambda: sorted(places)


def imported(room: str, place: str) -> Any:
    """Returns what a table means by "module:name" of a room; imports the module.

    Args:
        room: the room's import name.
        place: where in it.
    """
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{room}.{module}"), name)
