"""Success against the time that computing actions takes, with and without compensation, in virtual time.

toyshift study latency --policy runs/detpool
toyshift study latency --policy runs/detpool --objects ycb:DIR?graspable --trials 300 --jitter 0.05
toyshift study latency --results results/latency --docs docs --tabulate          the committed rows and their page
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.choices import COMPENSATIONS
from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash, whole_files, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.scripts.evaluate import row_names
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, no_rows, require_equal, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.late import Latency

NAME = "latency"
MOST = 10_000  # [ms]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, trials=1, latencies=(1, MOST), jitter=(0, 10)):
    """Options of `toyshift study latency`."""

    policy: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Folder of a policy, or an exported bundle; give it several times for several."""
    objects: str = "toys:test"
    """Object set to test on."""
    latencies: tuple[int, ...] = (100, 200, 300, 400)
    """Times from an observation to its actions [ms]; 0 is played in any case."""
    jitter: float = 0.0
    """Largest deviation from each of them [s], and no more than it."""
    trials: int = 50
    """Episodes per policy, latency and way of compensating; the same starts for all."""
    out: Path = Path("runs/latency")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.policy and not self.tabulate:
            raise ConfigError("no policy was given: --policy DIR (made by `toyshift train`), or --tabulate")


def main(cfg: Config) -> dict[str, Any]:
    """Tests policies whose actions arrive late, from the same starts: skipping what was executed, not, or waiting.

    Killed and run again, it goes on.
    Example: toyshift study latency --policy runs/detpool --objects toys:test
    """
    return LatencyStudy(cfg).conduct(cfg)


class LatencyStudy(Study):
    """Policies times latencies times ways of compensating, and what is there of them."""

    name = NAME

    def __init__(self, cfg: Config) -> None:
        from toyshift.diagnostics.late import Latency

        super().__init__(cfg)
        self.cfg, objects = cfg, set_name(cfg.objects).replace(":", "-")
        late = [
            Latency(ms / 1000, min(cfg.jitter, ms / 1000), how)
            for how in COMPENSATIONS for ms in dict.fromkeys(cfg.latencies)
        ]  # fmt: skip
        self.parts = {
            f"{name}-{objects}-{_case(one)}": (policy, name, one)
            for policy, name in row_names(cfg.policy).items()
            for one in (Latency(), *late)
        }

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """Hashes by cell: rows belong to these weights, these objects, this protocol and this latency."""
        from toyshift.diagnostics.actors import policy_fingerprint
        from toyshift.diagnostics.evaluation import PROTOCOL
        from toyshift.toys import load_objects

        objects = str(load_objects(self.cfg.objects).fingerprint)
        hashes = {policy: policy_fingerprint(policy) for policy in self.cfg.policy}
        return {
            cell: json_hash([PROTOCOL, hashes[policy], objects, self.cfg.seed, dataclasses.asdict(late)])
            for cell, (policy, _, late) in self.parts.items()
        }

    def check(self) -> None:
        """Its folders hold rows of any policies, told apart by their keys: there is nothing to claim."""
        gl_backend()

    def require_settings(self, folder: Path) -> None:
        """Refuses rows of other episodes, seed or jitter; every cell's file says its own."""
        from toyshift.diagnostics import read_rows_manifest

        for cell, (_, _, late) in self.parts.items():
            if (path := folder / "rows" / self.path(cell).name).exists():
                facts = read_rows_manifest(path)
                now = {"trials": self.cfg.trials, "seed": self.cfg.seed, "latency": dataclasses.asdict(late)}
                require_equal(path, now, {**facts["config"], "seed": facts["seed"], "latency": facts["latency"]})

    def cells(self) -> list[Cell]:
        return [
            Cell(cell, f"{name}, {late.label or 'no latency'}", PLAY * self.cfg.trials)
            for cell, (_, name, late) in self.parts.items()
        ]

    def is_done(self, cell: Cell) -> bool:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        path, ours = self.path(cell.name), self.keys[cell.name]
        return path.exists() and read_rows_manifest(path)["key"] == ours and len(read_rows(path)) >= self.cfg.trials

    def run(self, cell: Cell) -> None:
        """Plays one policy with one latency and keeps the rows."""
        from toyshift.diagnostics import EvaluateConfig, evaluate, write_rows
        from toyshift.envs.render.renderer import gl_renderer_name

        cfg, (policy, name, late) = self.cfg, self.parts[cell.name]
        config = EvaluateConfig(
            policy, cfg.objects, cfg.trials, seed=cfg.seed + TEST_SEED, name=name, latency=late
        )
        path = self.path(cell.name)
        workers = cfg.processes if cfg.processes > 1 else 0
        rows = evaluate(config, cfg.work_dir / "rows" / path.name, workers=workers)
        asked = {"policy": policy, "objects": cfg.objects, "trials": cfg.trials}
        facts = {"latency": dataclasses.asdict(late), "key": self.keys[cell.name]}
        write_rows(path, rows, manifest(asked, cfg.seed, gl_renderer=gl_renderer_name(), **facts))

    def tabulate(self) -> dict[str, Any]:
        return write_results(self.cfg.results_dir, self.cfg.docs_dir)


def _case(late: Latency) -> str:
    return f"{late.compensation}-{round(1000 * late.seconds)}" if late.seconds else "now"


def found_rows(folder: Path) -> dict[tuple[str, str], dict[tuple[str, float, float], list[Row]]]:
    """Returns the rows that are there by policy and object set, and by compensation, latency and jitter [s].

    Raises:
        FileError: there are none.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest

    groups: dict[tuple[str, str], dict[tuple[str, float, float], list[Row]]] = {}
    for path in whole_files(folder / "rows", "*.parquet"):
        rows, late = read_rows(path), read_rows_manifest(path)["latency"]
        how = late["compensation"] if late["seconds"] else ""
        played = groups.setdefault((rows[0].policy, set_name(rows[0].object_set)), {})
        played[how, late["seconds"], late["jitter"]] = rows
    if not groups:
        raise no_rows(folder, f"{NAME} --policy DIR")
    order = ("", *COMPENSATIONS)
    return {
        group: dict(sorted(played.items(), key=lambda one: (order.index(one[0][0]), *one[0][1:])))
        for group, played in groups.items()
    }


def write_results(folder: Path, docs: Path) -> dict[str, Any]:
    """Writes table.json and the generated part of robot.md, of the rows that are there.

    Returns:
        what table.json holds.
    """
    from toyshift.diagnostics import compare, summarise

    lines = []
    for (policy, spec), played in found_rows(folder).items():
        now = played.get(("", 0.0, 0.0))
        for (how, seconds, jitter), rows in played.items():
            late = played.get(("none", seconds, jitter))
            lines.append({
                "policy": policy, "set": spec, "compensation": how, "latency": seconds, "jitter": jitter,
                **figures(summarise(rows)[0]),
                "minus_no_latency": compare(rows, now).to_json() if how and now else None,
                "minus_none": compare(rows, late).to_json() if how not in ("", "none") and late else None,
            })  # fmt: skip
    table = {"rows": lines}
    write_json(folder / "table.json", table)
    made = markdown(lines)
    write_page(docs / "robot.md", NAME, folder, made)
    print(made)
    print(f"table: {folder / 'table.json'}, {docs / 'robot.md'}")
    return table


HEAD = (
    "| policy | objects | compensation | latency, ms | jitter, ms | n | success % | 95 % episodes | 95 % new objects | "
    "minus no latency, points | minus none, points |"
)


def markdown(lines: list[dict[str, Any]]) -> str:
    """Returns the table in Markdown."""

    def change(value: dict[str, Any] | None) -> str:
        if value is None:
            return "-"
        return f"{100 * value['difference']['value']:+.0f} ({points(value['difference'])})"

    return markdown_table(HEAD, [
        (
            f"`{x['policy']}`", x["set"], x["compensation"] or "-", f"{1000 * x['latency']:.0f}",
            f"{1000 * x['jitter']:.0f}", x["n"], f"{100 * x['rate']:.1f}", percents(*x["wilson_95"]),
            percents(*x["clustered_objects_95"]), change(x["minus_no_latency"]), change(x["minus_none"]),
        )
        for x in lines
    ])  # fmt: skip
