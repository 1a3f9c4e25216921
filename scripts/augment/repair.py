"""Makes repaired copies of datasets: the same episodes seen otherwise, or with other objects, and fair controls.

toyshift augment viewpoint runs/demos runs/demos-views
toyshift augment "toward-other+jitter" runs/fragments runs/repaired
toyshift augment cue runs/places runs/told-by-table --factor table
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import real_path
from toyshift.scripts.options import Clustered


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Clustered):
    """Options of `toyshift augment`."""

    spec: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")] = ""
    """What is done: a name of --list, with its keys behind a question mark, several joined by +, such as
    "viewpoint?azimuth=-30:30&copies=2+jitter"; every copy is changed by all of them, in order."""
    paths: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="SRC... DST")] = ()
    """A dataset, or sub-datasets: a folder that `toyshift data fragment` or this command made, or several datasets.
    Then the folder to write; an interrupted augmentation goes on where it was."""
    azimuth: tuple[float, float] | None = None
    """Lowest and highest turn of the front camera [deg]: the old way to write viewpoint?azimuth=LOW:HIGH&keep=no."""
    no_measures: bool = False
    """Leave out diversity, disparity and NMI before and after."""
    list: bool = False
    """Show the augmentations: what each makes, what it needs, its keys."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.list:
            return
        if not self.spec or len(self.paths) < 2:
            given = " ".join(map(str, (self.spec, *self.paths))).strip()
            told = f"got {given!r}" if given else "got nothing"
            raise ConfigError(f"`toyshift augment NAME SRC DST` takes a name, what it reads and what it writes, {told}")
        if near := next((path for path in self.sources if real_path(path) == real_path(self.paths[-1])), None):
            raise ConfigError(f"{near} cannot be both source and destination")
        if self.azimuth is not None:
            low, high = self.azimuth
            if self.spec != "viewpoint":
                raise ConfigError(f"--azimuth goes with the name viewpoint alone, not with {self.spec!r}")
            if not -180 <= low <= high <= 180:
                told = f"not {low:g} {high:g}"
                raise ConfigError(f"--azimuth takes the lower angle first, from -180 to 180 degrees, {told}")

    @property
    def sources(self) -> tuple[Path, ...]:
        return self.paths[:-1]

    @property
    def whole_spec(self) -> str:
        """The spec, with --azimuth in it."""
        return f"viewpoint?azimuth={self.azimuth[0]}:{self.azimuth[1]}&keep=no" if self.azimuth else self.spec


def main(cfg: Config) -> dict[str, Any]:
    """Makes repaired copies of datasets; the new folder holds the episodes that there were and their copies.

    It ends with diversity, disparity and NMI before and after (docs/augment.md). `toyshift augment cue` is another
    command: it plants a shortcut in place of another one.

    Example: toyshift augment --list
    Example: toyshift augment viewpoint runs/demos runs/demos-views
    Example: toyshift augment "viewpoint?azimuth=-30:30&copies=2+jitter" runs/demos runs/demos-views
    Example: toyshift augment toward-other runs/fragments runs/repaired
    Example: toyshift augment "bridge?factor=table" runs/left runs/right runs/bridged
    """
    import toyshift.augment as repairs

    if cfg.list:
        return _listed()
    repairs.read_spec(cfg.whole_spec)  # what is wrong with it is said first
    given = repairs.given_by(cfg.sources)
    result: dict[str, Any] = repairs.augment(
        cfg.whole_spec, cfg.sources, cfg.paths[-1], cfg.seed, cfg.processes, cfg.ray
    )
    for part in result["parts"]:
        print(f"dataset: {part['out']}   {part['episodes']} episodes, {part['new']} of them new")
    if cfg.no_measures:
        return result
    from toyshift.diagnostics.before_after import before_after, before_after_table

    planted = (given.relevant, given.factor) if given.relevant else None
    rows = before_after(list(given.parts.values()), [Path(part["out"]) for part in result["parts"]], planted, cfg.seed)
    print(before_after_table(rows))
    return result | {"measures": rows}


def _listed() -> dict[str, Any]:
    """Shows the table of augmentations."""
    from toyshift.augment import listed
    from toyshift.diagnostics.tables import render_table

    rows = listed()
    lines = [
        [row["name"] + (" (control)" if row["control"] else ""), row["what"], row["needs"], " ".join(
            f"{key}={default}" for key, default in row["keys"].items()
        )]
        for row in rows
    ]  # fmt: skip
    print(render_table(["name", "what it makes", "needs", "keys"], lines))
    print("\nAll take copies=1 (new episodes of each) and keep=yes (whether those that there were stay).")
    print("Values: LOW:HIGH is uniform, A,B,C one of them, A always, any the factor's whole range.")
    return {"augmentations": rows}
