"""The study of shifts as small as it gets: it goes on after a stop, its table follows from rows, wrong input named."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from toyshift.core.errors import ConfigError, FileError, ToyShiftError, UnknownNameError
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.evaluation import PROTOCOL
from toyshift.diagnostics.seen import DEMONSTRATED, SEEN, Seen
from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.scripts.studies import cells
from toyshift.scripts.studies import shifts as study_shifts
from toyshift.scripts.studies.charts import HeatLine, heat_chart
from toyshift.scripts.studies.shift_results import (
    BELONGS,
    CONTROL,
    FACTOR,
    PAIRS,
    PolicyRows,
    markdown,
    tabulate,
    write_results,
)
from toyshift.scripts.studies.shifts import Config, MatrixPart, ShiftMatrix, main, unreached

PHYSICAL = ["distractors", "object-size", "object-mass", "object-friction", "object-pose", "robot-start",
            "action-latency", "action-noise"]  # fmt: skip
CELLS = [f"oracle-toys-test-{cell}" for cell in ("control", "object-mass", "object-friction", "pairs")]


def config_of(root: Path, **changed: Any) -> Config:
    values: dict[str, Any] = {
        "policy": ("oracle",), "objects": "toys:test?n=2", "factors": ("object-mass", "object-friction"),
        "levels": (5,), "trials": 1, "pairs": 2, "out": root / "run", "results": root / "results",
        "docs": root / "docs", "workers": 1, "allow_dirty": True,
    }  # fmt: skip
    return Config(**{**values, **changed})


# ---------------------------------------------------------------- cells


def test_a_killed_study_goes_on_with_the_cell_it_was_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toyshift.diagnostics import evaluation

    config, played = config_of(tmp_path), list[str]()

    def counted(cfg: Any, ids: tuple[str, ...], opened: Any, episode: int) -> Row:
        played.append(cfg.shift)
        if played == ["", "object-mass=5", "object-friction=5"]:
            raise KeyboardInterrupt
        (made,) = planted("oracle", FACTOR, {cfg.shift: 1}, n=1)
        return dataclasses.replace(made, seed=cfg.seed, episode=episode, object_set=cfg.objects)

    monkeypatch.setattr(evaluation, "play_row", counted)
    with pytest.raises(KeyboardInterrupt):
        main(config)
    assert sorted(path.stem for path in (config.results / "rows").iterdir()) == sorted(CELLS[:2])
    played[:] = ["killed"]
    done = main(config)
    both = "object-mass=5,object-friction=5"
    assert (done["ran"], done["missing"]) == (CELLS[2:], [])
    assert played[:3] == ["killed", "object-friction=5", ""]  # what had been played is not played again
    assert sorted(played[3:]) == sorted(["object-mass=5", "object-friction=5", both])
    assert main(config)["ran"] == []
    rows = {cell: read_rows(config.results / "rows" / f"{cell}.parquet") for cell in CELLS}
    assert {(r.seed, r.episode, r.purpose) for cell in CELLS[:3] for r in rows[cell]} == {(1000, 0, "test")}
    assert {r.seed for r in rows[CELLS[3]]} == {1001}  # the worst are paired on starts by which they were not chosen
    table = json.loads((config.results / "table.json").read_text())
    assert [(x["factor"], x["level"], x["n"]) for x in table["rows"]] == [
        ("none", 0, 1), ("object-mass", 5, 1), ("object-friction", 5, 1)
    ]
    assert table["episodes"][0] | {"policy": "", "set": ""} == {
        "policy": "", "set": "", "shifted": 2, "controls": 1, "of_pairs": 4, "new_objects": ""
    }
    page = (config.docs / "shift_matrix.md").read_text()
    assert "| `oracle` | toys:test | object-mass | 5 | B-HOBJ | 1 |" in page
    assert "(shift_matrix_oracle-toys-test.png)" in page
    assert main(dataclasses.replace(config, policy=(), tabulate=True)) == table
    assert (config.docs / "shift_matrix.md").read_text() == page
    again = main(dataclasses.replace(config, docs=None, from_scratch=True, only=(CELLS[0],)))
    assert (again["ran"], again["ok"]) == (CELLS[:1], True)
    more = dataclasses.replace(config, trials=2, cells=1)
    assert main(more)["ran"] == CELLS[:1]


@pytest.mark.parametrize(
    ("controls", "factors"), [("shared", ("object-size", "object-pose")), ("own", ("object-size",))]
)
def test_rows_are_those_of_every_condition_played_alone_and_starts_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controls: str, factors: tuple[str, ...]
) -> None:
    from toyshift.diagnostics import evaluate, evaluation

    asked = {"policy": ("random",), "levels": (1, 5), "trials": 2, "factors": factors}
    config = config_of(tmp_path, controls=controls, **asked)
    played = list[list[int]]()
    play_row, open_actor = evaluation.play_row, evaluation.open_actor

    def noted(cfg: Any, ids: tuple[str, ...], session: Any, episode: int) -> Row:
        played[-1].append(episode)
        return play_row(cfg, ids, session, episode)

    def begun(*args: Any) -> Any:
        played.append([])
        return open_actor(*args)

    monkeypatch.setattr(evaluation, "play_row", noted)
    monkeypatch.setattr(evaluation, "open_actor", begun)
    main(config)
    # opened to see what reaches it, and once a cell: a control, factors, pairs
    assert len(played) == 1 + (4 if controls == "shared" else 1)
    assert all(episodes == sorted(episodes) for episodes in played)
    study = ShiftMatrix(config)
    for cell in study.cells():
        part = study.parts[cell.name]
        alone = [
            row
            for i, one in enumerate(study.played(part))
            for row in evaluate(
                study.config_of(part.policy, part.name, one), tmp_path / cell.name / f"{i}.parquet", 0, progress=False
            )
        ]
        rows = read_rows(config.results / "rows" / f"{cell.name}.parquet")
        assert len({row.max_height for row in rows}) > 1
        assert [dataclasses.replace(row, wall_s=0.0) for row in rows] == [
            dataclasses.replace(row, wall_s=0.0) for row in alone
        ]


def test_a_factor_asked_for_alone_brings_its_control(tmp_path: Path) -> None:
    asked = {"policy": ("random",), "objects": "toys:test?n=2", "only": ("*object-mass",), "pairs": 0}
    assert main(config_of(tmp_path, **asked))["ran"] == [f"random-toys-test-{x}" for x in ("control", "object-mass")]
    own = ShiftMatrix(config_of(tmp_path, controls="own"))
    assert [cell.needs for cell in own.cells() if own.parts[cell.name].kind == FACTOR] == [(), ()]


def test_the_worst_are_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toyshift import diagnostics

    config = config_of(tmp_path)
    main(dataclasses.replace(config, cells=2))
    study = ShiftMatrix(config)
    (pairs,) = (part for part in study.parts.values() if part.kind == PAIRS)
    assert study.played(pairs) == []  # nothing is kept while a factor is missing
    main(config)
    shifts = [one.shift for one in study.played(pairs)]
    assert shifts[-1] == "object-mass=5,object-friction=5"
    monkeypatch.setattr(diagnostics, "read_rows", lambda path: pytest.fail(f"{path} is read again"))
    assert [one.shift for one in study.played(pairs)] == shifts


def test_processes_stay_from_cell_to_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toyshift.core import workers

    started, begin = [], workers.worker_pool
    monkeypatch.setattr(cells, "worker_pool", lambda count: (started.append(count), begin(count))[1])
    monkeypatch.setattr(workers, "worker_pool", lambda count: pytest.fail("a cell has started its own"))
    assert len(main(config_of(tmp_path, policy=("random",), workers=2, pairs=0))["ran"]) == 3
    assert started == [2]


def test_controls_of_their_own_have_starts_of_their_own(tmp_path: Path) -> None:
    study = ShiftMatrix(config_of(tmp_path, controls="own", levels=(1, 5), trials=3))
    assert [cell.name for cell in study.cells()] == [CELLS[1], CELLS[2], CELLS[3]]
    played = [one for part in study.parts.values() if part.kind == FACTOR for one in study.played(part)]
    seeds = [one.seed for one in played]
    assert [one.shift for one in played][:4] == ["", "object-mass=1", "", "object-mass=5"]
    assert seeds[::2] == seeds[1::2]
    assert len(set(seeds)) == 4
    assert not {1000, 1001} & set(seeds)


def test_neighbouring_seeds_share_no_start(tmp_path: Path) -> None:
    def seeds(root: int, controls: str) -> set[int]:
        study = ShiftMatrix(Config(policy=("p",), seed=root, controls=controls, budget="paper", out=tmp_path))
        kinds = [MatrixPart("p", "p", CONTROL), *(MatrixPart("p", "p", FACTOR, factor) for factor in SHIFT_FACTORS)]
        found = {one.seed for part in kinds for one in study.played(part)}
        study.worst = lambda part: ["object-mass", "object-pose"]  # type: ignore[method-assign]
        return found | {one.seed for one in study.played(MatrixPart("p", "p", PAIRS))}

    used = [seeds(root, controls) for root in (0, 1, 2) for controls in ("own", "shared")]
    assert len(used[0]) == 2 + 5 * len(SHIFT_FACTORS)  # control, pairs, and every factor and level
    assert not (used[0] | used[1]) & (used[2] | used[3])
    assert not (used[2] | used[3]) & (used[4] | used[5])


def test_paper_is_of_the_size_of_libero_plus() -> None:
    plan = Config(policy=("p",), budget="paper").plan
    assert plan.controls == "own"  # as many controls as shifted episodes
    assert len(SHIFT_FACTORS) * len(plan.levels) * plan.trials >= 10_030
    assert len(SHIFT_FACTORS) * len(plan.levels) * (plan.trials - 1) < 10_030


# ---------------------------------------------------------------- what reaches a policy


def test_shifts_that_cannot_reach_a_policy_are_left_out_and_refused_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ShiftMatrix(config_of(tmp_path, factors=()))
    assert [part.factor for part in study.parts.values() if part.kind == FACTOR] == PHYSICAL
    study.check()
    assert "left out for oracle, since it has no cameras: camera-azimuth, " in capsys.readouterr().err
    with pytest.raises(ConfigError, match="--factors: table-texture cannot reach oracle: it has no cameras"):
        main(config_of(tmp_path, factors=("object-mass", "table-texture")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("factor", "cameras", "masks", "why"),
    [
        ("camera-azimuth", ("front",), False, ""), ("camera-azimuth", ("wrist",), True, "no front camera, only wrist"),
        ("table-texture", ("wrist",), False, ""), ("table-texture", (), True, "no cameras"),
        ("image-blur", (), True, "no cameras"), ("mask-offset", ("front",), False, "given no masks"),
        ("mask-offset", ("front",), True, ""), ("object-mass", (), False, ""), ("distractors", (), False, ""),
        ("object-texture", (), False, "no cameras"),
    ],
)
def test_what_reaches_a_policy(factor: str, cameras: tuple[str, ...], masks: bool, why: str) -> None:
    found = unreached(factor, cameras, masks)
    assert (why in found) if why else found == ""


def test_a_policy_behind_a_server_is_played_with_what_it_is_sent(tmp_path: Path) -> None:
    pytest.importorskip("msgpack")
    pytest.importorskip("websockets")
    from toyshift.policies.remote.server import PolicyServer

    class Hand:
        def reset(self) -> None: ...

        def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
            return {"actions": np.tile(np.array([0, 0, -0.02, 0, 0, 0, 1], np.float32), (50, 1))}

    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"state": {"state": ["eef.z"]}}))
    server = PolicyServer(Hand, {"model": "hand"}, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        asked = {"policy": (f"ws://127.0.0.1:{server.port}",), "remote_keys": str(keys), "remote_actions": "eef_delta"}
        blind = ShiftMatrix(config_of(tmp_path / "all", factors=(), **asked))
        assert [part.factor for part in blind.parts.values() if part.kind == FACTOR] == PHYSICAL
        done = main(config_of(tmp_path, pairs=0, factors=("object-mass",), **asked))
        assert (len(done["ran"]), done["missing"]) == (2, [])
        assert [x["rate"] for x in done["table"]["rows"]] == [0.0, 0.0]
    finally:
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"policy": ()}, "no policy was given"), ({"factors": ("camera-azimut",)}, "camera-azimuth"),
        ({"levels": (0,)}, "from 1 to 5"), ({"levels": (2, 2)}, "--levels holds 2 twice"), ({"pairs": 1}, "no pair"),
        ({"factors": ("object-mass", "object-mass")}, "holds object-mass twice"),
        ({"remote_execute": -1}, "--remote-execute"), ({"remote_timeout": 0.0}, "--remote-timeout"),
    ],
)
def test_options_that_are_wrong_are_named(tmp_path: Path, wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(ToyShiftError, match=match):
        config_of(tmp_path, **wrong)


# ---------------------------------------------------------------- the table, from planted rows


def planted(policy: str, kind: str, won: dict[str, int], n: int = 20, seed: int = 1000, objects: int = 5) -> list[Row]:
    return [
        Row(policy, "", "toys:test", f"toy{i % objects}", seed + (kind == PAIRS), i, i < k, 0.3, 10, "" if i < k else
            "dropped", "", 0.1, purpose="test", shift=shift)
        for shift, k in won.items() for i in range(n)
    ]  # fmt: skip


def keep(folder: Path, policy: str, **changed: Any) -> None:
    """Writes the cells of a study: 16 of 20 without a shift, and what is planted."""
    azimuth, blur = "camera-azimuth", "image-blur"
    cells = {
        CONTROL: {"": 16}, azimuth: {f"{azimuth}=3": 10, f"{azimuth}=5": 2}, blur: {f"{blur}=3": 15, f"{blur}=5": 16},
        PAIRS: {"": 16, f"{azimuth}=3": 12, f"{blur}=3": 12, f"{azimuth}=3,{blur}=3": 0},
    }  # fmt: skip
    for cell, won in cells.items():
        kind = cell if cell in (CONTROL, PAIRS) else FACTOR
        facts = {"kind": kind, "protocol": PROTOCOL, "key": "", "left_out": {"mask-gap": "it is given no masks"}}
        facts[BELONGS] = {"policy": "weights", "objects": "toys", "seed": 0}
        write_rows(folder / "rows" / f"{policy}-{cell}.parquet", planted(policy, kind, won), facts | changed)


def test_the_table_says_what_was_planted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(tmp_path, "p")
    table = write_results(tmp_path, tmp_path / "docs")
    drops = {(x["factor"], x["level"]): x["drop"] for x in table["rows"] if x["drop"]}
    assert {key: round(20 * drop["difference"]["value"]) for key, drop in drops.items()} == {
        ("camera-azimuth", 3): 6, ("camera-azimuth", 5): 14, ("image-blur", 3): 1, ("image-blur", 5): 0,
    }  # fmt: skip
    p = drops["camera-azimuth", 5]["p_value"]
    assert p == pytest.approx(2 * 0.5**14)
    assert drops["camera-azimuth", 5]["p_holm"] == pytest.approx(4 * p)  # the smallest of four
    assert [(x["factor"], x["drop"]["value"]) for x in table["ranking"]] == [
        ("camera-azimuth", 0.5), ("image-blur", 0.025)
    ]
    (pair,) = table["pairs"]
    assert (pair["first"], pair["second"], pair["n"]) == ("camera-azimuth=3", "image-blur=3", 20)
    assert pair["interaction"]["value"] == pytest.approx((16 - 4 - 4) / 20)
    page = (tmp_path / "docs" / "shift_matrix.md").read_text()
    assert "| not told: fewer than 8 objects |" in page
    assert "left out, since it is given no masks: mask-gap" in page
    assert "V-VIEW" in page
    keep(tmp_path, "old", protocol=1)
    assert write_results(tmp_path, tmp_path / "docs")["rows"] == table["rows"]
    assert "older protocol (delete it): old-control.parquet" in capsys.readouterr().err
    with pytest.raises(FileError, match="holds no rows yet; run `toyshift study shifts --policy DIR"):
        write_results(tmp_path / "empty", tmp_path / "docs")


@pytest.mark.parametrize(
    ("what", "other", "told"),
    [("policy", "retrained", "policies of this name"), ("objects", "edited", "object sets of this name"),
     ("seed", 3, "--seed")],
)  # fmt: skip
def test_cells_that_do_not_belong_together_are_named_and_not_tabulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, other: object, told: str
) -> None:
    keep(tmp_path, "p")
    keep(tmp_path, "q")
    path = tmp_path / "rows" / f"p-{CONTROL}.parquet"
    facts = read_rows_manifest(path)
    write_rows(path, read_rows(path), facts | {BELONGS: {**facts[BELONGS], what: other}})
    table = write_results(tmp_path, tmp_path / "docs")
    assert {x["policy"] for name in ("rows", "ranking", "pairs", "episodes") for x in table[name]} == {"q"}
    said = capsys.readouterr().err
    assert f"left out, p on toys:test: its cells are of several {told} (" in said
    assert f" but {other} in p-control.parquet)" in said
    for path in (tmp_path / "rows").glob("q-*"):
        path.unlink()
    with pytest.raises(FileError, match="no rows that belong together; p on toys:test: its cells are of several"):
        write_results(tmp_path, tmp_path / "docs")


def test_cells_of_another_plan_are_not_tabulated_with_these(tmp_path: Path) -> None:
    config = config_of(tmp_path, pairs=0)
    main(config)
    own = dataclasses.replace(config, controls="own")
    with pytest.raises(FileError, match=r"several --controls \(shared in .*control.parquet but own in"):
        main(own)
    (config.results / "rows" / f"{CELLS[0]}.parquet").unlink()
    assert len(main(own)["table"]["rows"]) == 3
    with pytest.raises(FileError, match=r"several --levels \(\[5\] in .* but \[4\] in"):
        main(dataclasses.replace(own, levels=(4,), cells=1))
    assert len(main(dataclasses.replace(own, levels=(4,)))["table"]["rows"]) == 3


def test_a_policy_without_controls_is_named(tmp_path: Path) -> None:
    keep(tmp_path, "p")
    keep(tmp_path, "q")
    (tmp_path / "rows" / f"p-{CONTROL}.parquet").unlink()
    table = write_results(tmp_path, tmp_path / "docs")
    assert {x["policy"] for x in table["rows"]} == {"q"}
    page = (tmp_path / "docs" / "shift_matrix.md").read_text()
    assert "- `p` on toys:test: no controls, so no success without a shift and no drop is known." in page
    assert "- `q` on toys:test: no controls" not in page


def test_objects_of_training_are_not_called_new(tmp_path: Path) -> None:
    keep(tmp_path, "p", **{SEEN: {"p": {"toys:test": Seen(("toy0", "toy2")).to_json()}}})
    keep(tmp_path, "q", **{SEEN: {"q": {"toys:test": Seen().to_json()}}})
    keep(tmp_path, "r")  # does not say what it was trained on
    table = write_results(tmp_path, tmp_path / "docs")
    told = [x["new_objects"].partition(":")[0] for x in table["episodes"]]
    assert told == ["p was trained on 2 of these 5", "", ""]
    page = (tmp_path / "docs" / "shift_matrix.md").read_text()
    assert page.count("- On toys:test, p was trained on 2 of these 5: what is said of new objects holds for") == 1


def test_an_edited_object_set_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toyshift import toys

    config = config_of(tmp_path, pairs=0)
    main(config)
    study = ShiftMatrix(config)
    assert all(map(study.is_done, study.cells()))
    other = toys.load_objects("toys:test?n=3")
    monkeypatch.setattr(toys, "load_objects", lambda spec: other)
    study = ShiftMatrix(config)
    assert not any(map(study.is_done, study.cells()))


def test_rates_of_a_robot_are_compared_and_kept(tmp_path: Path) -> None:
    keep(tmp_path, "p")
    real = tmp_path / "real.csv"
    real.write_text("name,rate\nnone,0.9\ncamera-azimuth=3,0.6\ncamera-azimuth=5,0.3\ntable-texture=5,0.5\n")
    (found,) = write_results(tmp_path, tmp_path / "docs", real)["against"]
    assert (found["names"], found["given"]) == (("none", "camera-azimuth=3", "camera-azimuth=5"), 4)
    assert found["here"] == pytest.approx((0.8, 0.5, 0.1))
    assert found["mmrv"]["value"] == 0.0
    assert found["pearson"]["value"] == pytest.approx(np.corrcoef((0.8, 0.5, 0.1), (0.9, 0.6, 0.3))[0, 1])
    real.unlink()
    assert write_results(tmp_path, tmp_path / "docs")["against"] == [found]  # the page can be made again
    assert "| `p` | toys:test | 3 of 4 | 0.000 |" in (tmp_path / "docs" / "shift_matrix.md").read_text()
    assert (found["mmrv"]["low"], found["exact"]) == (0.0, True)
    assert found["mmrv"]["high"] > 0.3  # 20 episodes do not show an order
    real.write_text("name,rate,episodes\nnone,0.9,10\ncamera-azimuth=3,0.6,10\ncamera-azimuth=5,0.3,10\n")
    (counted,) = write_results(tmp_path, tmp_path / "docs", real)["against"]
    assert counted["mmrv"]["high"] > found["mmrv"]["high"]
    real.unlink()
    assert write_results(tmp_path, tmp_path / "docs")["against"] == [counted]
    real.write_text("name,rate\np,0.4\nnone,0.9\n")
    with pytest.raises(ConfigError, match=r"names policies \(p\) and shifts"):
        write_results(tmp_path, tmp_path / "docs", real)
    real.write_text("name,rate\np,0.4\n")
    (few,) = write_results(tmp_path, tmp_path / "docs", real)["against"]
    assert (few["names"], few["mmrv"]["value"]) == (("p",), None)
    assert "fewer than 3" in few["why"]


def test_wrong_rates_are_refused_before_anything_is_played(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("name,rate\ncamera-azimut=3,0.4\n")
    with pytest.raises(UnknownNameError, match=r"Did you mean 'camera-azimuth=\d'"):
        main(config_of(tmp_path, against=real))
    assert not (tmp_path / "run" / "rows").exists()


@pytest.mark.parametrize(
    ("factors", "objects", "said"),
    [(2, 100, "compound"), (4, 100, "no interaction is shown"), (2, 7, "not told: fewer than 8 objects")],
)
def test_verdicts_on_pairs_are_corrected_for_how_many_there_are(factors: int, objects: int, said: str) -> None:
    # on 21 starts both together lose what neither loses, on 8 both lose what each does: 2.4 standard errors from 0
    names = [f"{name}=3" for name in ("camera-azimuth", "image-blur", "light-colour", "object-mass")[:factors]]
    won = {"": 100, **dict.fromkeys(names, 92)}
    rows = planted("p", PAIRS, won, 100, objects=objects)
    for pair in itertools.combinations(names, 2):
        both = planted("p", PAIRS, {",".join(pair): 92}, 100, objects=objects)
        rows += [dataclasses.replace(row, success=row.success and row.episode >= 21) for row in both]
    table = tabulate({("p", "toys:test"): PolicyRows(planted("p", FACTOR, {"": 16, "image-blur=5": 2}), rows)})
    k = factors * (factors - 1) // 2
    assert [x["confidence"] for x in table["pairs"]] == [pytest.approx(1 - 0.05 / k)] * k
    assert [x["interaction"]["value"] for x in table["pairs"]] == [pytest.approx(0.13)] * k
    assert [line.split("|")[-2].strip() for line in markdown(table).splitlines() if "=3" in line] == [said] * k


def test_holm_is_over_all_policies() -> None:
    won = {"": 16, "image-blur=5": 2}
    one = tabulate({("p", "toys:test"): PolicyRows(planted("p", FACTOR, won))})
    two = tabulate({(p, "toys:test"): PolicyRows(planted(p, FACTOR, won)) for p in "pq"})
    assert two["rows"][1]["drop"]["p_holm"] == pytest.approx(2 * one["rows"][1]["drop"]["p_holm"])


def test_a_heat_map_has_a_clear_background_and_says_loss_and_gain(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    lines = [HeatLine("a", "V-SC", [(0.0, False), (0.9, True)]), HeatLine("b", "", [None, (-0.9, False)])]
    heat_chart(path, "title", ["1", "5"], lines, "note")
    image = np.asarray(Image.open(path).convert("RGBA"))
    assert image[0, 0, 3] == 0  # so that it lies on white and on black pages
    red = (image[..., 0] > 150) & (image[..., 2] < 80) & (image[..., 3] == 255)
    blue = (image[..., 2] > 130) & (image[..., 0] < 80) & (image[..., 3] == 255)
    assert red.any()
    assert blue.any()
    assert np.argwhere(red)[:, 0].mean() < np.argwhere(blue)[:, 0].mean()  # the first line is on top


def test_rows_say_what_they_belong_to(tmp_path: Path) -> None:
    config = config_of(tmp_path, factors=("object-mass",), pairs=0)
    main(config)
    path = config.results / "rows" / f"{CELLS[1]}.parquet"
    facts = read_rows_manifest(path)
    assert (facts["kind"], facts["protocol"], facts["left_out"]) == (FACTOR, PROTOCOL, {})
    assert (facts[SEEN], facts[DEMONSTRATED]) == ({"oracle": {config.objects: None}}, {})
    study = study_shifts.ShiftMatrix(dataclasses.replace(config, levels=(3,)))
    assert [study.is_done(cell) for cell in study.cells()] == [True, False]  # other levels are other rows
    write_rows(path, read_rows(path), facts | {"key": "of other weights"})
    assert main(config)["ran"] == [CELLS[1]]
