"""Values of a configuration are held to its annotations."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from toyshift.core.errors import SHOWN, ConfigError, UnknownNameError, shown
from toyshift.core.fields import MOST, Limit, check_fields, check_ranges


@dataclasses.dataclass(frozen=True)
class Things:
    count: int = 1
    share: float = 0.5
    name: str = ""
    fast: bool = False
    place: Path | None = None
    kind: Literal["ball", "box"] = "ball"
    sizes: tuple[float, ...] = ()
    pair: tuple[int, int] = (1, 2)
    other: ConfigError | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"count": 0, "share": (0, 1), "sizes": 0.5})


@pytest.mark.parametrize(("name", "value", "said"), [
    ("count", 1.0, r"count is 1\.0; it must be a whole number"),
    ("count", True, "count is True; it must be a whole number"),
    ("count", "1", "count is '1'; it must be a whole number"),
    ("count", None, "count is None; it must be a whole number"),
    ("count", MOST + 1, "it must be between -9e"),
    ("count", 1 << 20000, "count is a number of 20001 bits; it must be between"),
    ("count", -1, "count must be at least 0, got -1"),
    ("share", float("nan"), "share is nan; it must be a finite number"),
    ("share", float("-inf"), "share is -inf; it must be a finite number"),
    ("share", 1e300, r"share is 1e\+300; it must be between"),
    ("share", 2, "share must be from 0 to 1, got 2"),
    ("name", 5, "name is 5; it must be a text"),
    ("name", "a\0b", "it must be a text"),
    ("name", "\udcff", "it must be a text"),
    ("fast", "yes", "fast is 'yes'; it must be true or false"),
    ("fast", 1, "fast is 1; it must be true or false"),
    ("place", 3, "place is 3; it must be a path or None"),
    ("kind", None, "kind is None; it must be one of ball, box"),
    ("sizes", 1.0, r"sizes is 1\.0; it must be a list of any number, each a finite number"),
    ("sizes", (1.0, float("nan")), "sizes is nan; it must be a finite number"),
    ("sizes", "12", "sizes is '12'"),
    ("sizes", (1.0, 0.1), r"sizes must be at least 0\.5, got 0\.1"),
    ("pair", (1, 2, 3), "pair is .*a list of 2, each a whole number"),
    ("other", "no", "other is 'no'; it must be a ConfigError or None"),
], ids=lambda value: "")  # fmt: skip
def test_what_does_not_fit_is_refused_with_its_name_and_what_is_allowed(name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Things(**{name: value})


@pytest.mark.parametrize(("value", "limit", "said"), [
    (10_000_001, (0, 10_000_000), "from 0 to 10,000,000, got 10,000,001"),
    (np.int64(999_999), 1_000_000, "at least 1,000,000, got 999,999"),
    (1.0000001, (0, 1), r"from 0 to 1, got 1\.0000001"), (-1e-9, 0, "at least 0, got -1e-09"),
])  # fmt: skip
def test_a_number_just_beyond_its_limit_is_told_from_it(value: float, limit: Limit, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^count must be {said}$"):
        check_ranges(types.SimpleNamespace(count=value), {"count": limit})


def test_a_name_that_is_no_choice_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown kind 'bal'\. Did you mean 'ball'\? Available: ball, box"):
        Things(kind="bal")  # type: ignore[arg-type]


def test_what_fits_is_taken_numpy_scalars_and_lists_among_it() -> None:
    made = Things(count=np.int64(3), share=np.float32(0.5), fast=np.bool_(True), sizes=[1, 2])  # type: ignore[arg-type]
    assert (made.count, made.share, made.sizes) == (3, 0.5, [1, 2])
    assert Things(place=Path("a"), kind="box", other=ConfigError("x"), share=1, count=MOST).count == MOST


def test_a_value_in_a_message_is_short() -> None:
    assert shown("a" * 50) == repr("a" * 50)
    assert len(shown("a" * 10**6)) < SHOWN
    assert len(str(UnknownNameError("thing", "b" * 10**6, ["ball"]))) < 2 * SHOWN


def test_choices_need_nothing_heavy() -> None:
    code = "import sys, toyshift.core.choices, toyshift.core.fields, toyshift.policies.parts; "
    code += "sys.exit(len({'numpy', 'torch', 'mujoco', 'gymnasium'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_choices_are_those_of_the_tables_behind_them() -> None:
    from toyshift.core import choices
    from toyshift.data.collecting.factors import FACTORS
    from toyshift.data.formats.exchange import FORMATS
    from toyshift.data.grasping.choose import GRASP_SEARCHES
    from toyshift.envs import VARIANTS
    from toyshift.envs.config import TASKS
    from toyshift.envs.robots import ROBOTS
    from toyshift.envs.tasks.success import REWARDS

    assert tuple(TASKS) == choices.TASKS
    assert set(REWARDS) == set(choices.REWARDS)
    assert tuple(FORMATS) == choices.DATASET_FORMATS
    assert tuple(GRASP_SEARCHES) == choices.GRASP_SEARCHES
    assert tuple(f"toyshift/{name}" for name in VARIANTS) == choices.ENVIRONMENTS
    assert tuple((name, robot.name) for name, robot in ROBOTS.items()) == tuple((n, n) for n in choices.ROBOT_NAMES)
    for relevant, names in ((True, choices.RELEVANT_FACTORS), (False, choices.IRRELEVANT_FACTORS)):
        assert tuple(row.name for row in FACTORS.values() if row.relevant == relevant) == names

