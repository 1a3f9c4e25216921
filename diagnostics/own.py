"""A user's own function, named module:name on the command line."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from toyshift.core.errors import ConfigError


def own_function(text: str, what: str, remedy: str) -> Callable[..., Any]:
    """Imports module:name.

    Args:
        text: the two.
        what: it is meant to be, for errors.
        remedy: what can be given instead, for errors.

    Raises:
        ConfigError: it cannot be imported, for whatever reason of its own, or cannot be called.
    """
    module, _, name = text.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a user's module raises when it is run
        raise ConfigError(f"{what} {text!r} cannot be imported ({type(error).__name__}: {error}); {remedy}") from error
    if not callable(found):
        raise ConfigError(f"{what} {text!r} is a {type(found).__name__} and cannot be called; {remedy}")
    return found  # type: ignore[no-any-return]
