"""Fills in the templates of assets/ with jinja2: what is put in is escaped, but for what a template calls safe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ASSETS = Path(__file__).parents[1] / "assets"


def filled(template: str, **values: Any) -> str:
    """Returns a template with its values; one that is missing is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)
