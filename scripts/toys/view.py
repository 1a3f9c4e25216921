"""Makes an HTML page with the models of a set.

toyshift toys view toys:train --out toys.html
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core.files import write_text
from toyshift.core.progress import track
from toyshift.scripts.toys.options import SetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, limit=1):
    """Options of `toyshift toys view`."""

    out: Path
    """HTML file to write; it needs nothing else, not even a network."""
    limit: int = 300
    """At most so many objects, the first of the set."""


def main(cfg: Config) -> dict[str, Any]:
    """Makes one HTML page with models that can be turned, zoomed and searched.

    Example: toyshift toys view toys:train --out toys.html
    """
    from toyshift.toys import load_objects
    from toyshift.toys.show.models_page import viewer_page

    objects = load_objects(cfg.objects)
    chosen = objects.ids[: cfg.limit]
    count = str(len(chosen)) if len(chosen) == len(objects) else f"{len(chosen)} of {len(objects)}"
    models = track((objects.by_id(name) for name in chosen), "models", len(chosen), "object")
    page = viewer_page(f"{objects.spec}: {count} objects", models)
    write_text(cfg.out, page)
    print(f"{count} objects, {len(page) / 1e6:.1f} MB: {cfg.out}")
    return {"objects": objects.spec, "shown": list(chosen), "bytes": len(page.encode()), "out": cfg.out}
