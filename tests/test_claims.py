"""Numbers in texts are those of the rows: `benchmarks/check_claims.py` on planted rows, and on this repository."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from toyshift.core.errors import ToyShiftError
from toyshift.diagnostics import Row, write_rows

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def claims(benchmark_file: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_file("check_claims")


def played(policy: str, spec: str, wins: Sequence[int], seed: int = 0, shift: str = "") -> list[Row]:
    """Ten episodes, each with an object of its own; those in `wins` succeed."""
    return [
        Row(policy, policy, spec, f"{spec}-{i}", seed, i, i in wins, 0.3, 10, "" if i in wins else "dropped", "", 0.1,
            shift=shift)
        for i in range(10)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wins 8 of 10 new objects, B 2 of the same, C 6; A all ten training toys; with a shift A wins 5 of 10."""
    folder = tmp_path_factory.mktemp("results")
    rows = [
        *played("A", "new+x, y", range(8)), *played("B", "new+x, y", (0, 9)), *played("C", "new+x, y", range(6)),
        *played("A", "toys", range(10)), *played("A", "toys", range(5), shift="light=3"),
    ]  # fmt: skip
    (folder / "study" / "rows").mkdir(parents=True)
    write_rows(folder / "study" / "rows" / "s0.parquet", rows, {})
    write_rows(folder / "study" / "rows" / "s1.parquet", played("A", "new+x, y", range(4), seed=1), {})
    figures = {"success": [{"set": "a", "rate": 0.25}, {"set": "b", "rate": 0.5, "span": [0.125, 0.75]}], "s": 90}
    (folder / "run.json").write_text(json.dumps(figures))
    return folder


NEW = "object_set=new%2Bx%2C y"


@pytest.mark.parametrize(("claim", "expected"), [
    (f"rate k n objects of study/rows/s0?policy=A&{NEW}", [80, 8, 10, 10]),
    (f"wilson of study/rows/s0?policy=A&{NEW}", [49.0, 94.3]),  # Wilson's interval of 8 in 10
    (f"rate seeds of study/rows?policy=A&{NEW}", [60, 80, 40]),
    (f"k of study/rows/s0?policy={{A,B}}&{NEW}", [8, 2]),
    (f"k n of study/rows/s0?policy=A+B&{NEW}", [10, 20]),
    (f"n of study/rows/s0?policy!=A&{NEW}&failure=dropped", [12]),
    ("n of study/rows?object_set=new*&seed=1", [10]),
    (f"difference p of study/rows/s0?policy=A&{NEW} vs policy=B", [60, 2 * (1 + 8) / 2**8]),  # 7 to 1
    (f"difference of study/rows/s0?policy=A&{NEW} vs study/rows/s0?policy=C&{NEW}", [20]),
    ("difference of study/rows/s0?policy=A&object_set=toys&shift=light=3 vs shift=", [-50]),
    # p is 18 / 256 against B and 0.5 against C: the smaller is doubled, the larger stays
    (f"holm of study/rows/s0?policy=A&{NEW} vs policy={{B,C}} among policy=B,C", [36 / 256, 0.5]),
    (f"retention of study/rows/s0?policy=A&{NEW} vs object_set=toys&shift=", [0.8]),
    ("value percent of run.json#success/set=a/rate", [0.25, 25]),
    ("percent of run.json#success/set=b/{rate,span}", [50, 12.5, 75]),
    ("value of run.json#success/1/span/0", [0.125]),
    ("minutes of run.json#s", [1.5]),
])  # fmt: skip
def test_claims_of_known_rows(claims: ModuleType, results: Path, claim: str, expected: list[float]) -> None:
    assert claims.figures(claim, results) == pytest.approx(expected, abs=0.05 if "wilson" in claim else 1e-9)


def test_intervals_contain_what_they_are_of(claims: ModuleType, results: Path) -> None:
    for words, other in (
        ("clustered rate", ""), ("difference-95 difference", " vs policy=B"),
        ("retention-95 retention", " vs object_set=toys&shift="),
    ):  # fmt: skip
        low, high, value = claims.figures(f"{words} of study/rows/s0?policy=A&{NEW}{other}", results)
        assert low < value < high


@pytest.mark.parametrize(("claim", "told"), [
    ("rate", "STATISTIC... of SOURCE"),
    ("rates of study/rows", "Did you mean 'rate'"),
    ("rate of studies/rows", "neither a Parquet file"),
    ("rate of study/rows?polcy=A", "Did you mean 'policy'"),
    ("rate of study/rows?policy", "is no filter"),
    ("rate of study/rows?policy=D", "policy=D selects nothing; there is A, B, C"),
    ("rate of study/rows?policy=A+D", "policy=D selects nothing"),  # no alternative is left out in silence
    ("rate of study/rows?policy=B&seed=1", "seed=1 selects nothing; there is 0"),
    ("rate of study/rows?policy!=A+B+C", "selects nothing"),
    ("difference of study/rows?policy=A", "unknown statistic of rows"),
    ("rate of study/rows?policy=A vs policy=B", "unknown statistic of A vs B"),
    ("rate of run.json#s", "unknown statistic of a figure"),
    (f"holm of study/rows/s0?policy=A&{NEW} vs policy=B among policy=C", "is none of those"),
    ("value of gone.json#s", "gone.json"),
    ("value of run.json#success/set=c/rate", "0 of 2 items"),
    ("value of run.json#t", "unknown key of run.json"),
    ("value of run.json#success", "no number"),
])  # fmt: skip
def test_a_claim_that_selects_nothing_says_so(claims: ModuleType, results: Path, claim: str, told: str) -> None:
    with pytest.raises(ToyShiftError, match=re.escape(told)):
        claims.figures(claim, results)
    assert told in claims.problems(f"40 <!-- claim: {claim} -->", results)[0]


A_IS_80 = f"<!-- claim: rate wilson of study/rows/s0?policy=A&{NEW} -->"


@pytest.mark.parametrize("text", ["80 (49-94)", "80.0 % (+49 to 94.3)", "| x | 7 | **80** | 49, and 94"])
def test_numbers_are_compared_as_they_are_written(claims: ModuleType, results: Path, text: str) -> None:
    assert claims.problems(f"In 10 of 20:\n\n{text} {A_IS_80}", results) == []


def test_a_wrong_number_is_named_with_its_line(claims: ModuleType, results: Path) -> None:
    page = f"one\n\n80 (49-94) {A_IS_80}\ntwo 80 (48-94.4) {A_IS_80}\n"
    low, high = claims.problems(page, results)
    assert low.startswith("4: shows 48, recomputed 49 (rate wilson of ")
    assert high.startswith("4: shows 94.4, recomputed 94.3 (")
    assert claims.as_written(2.387e-29, "1.0e-9") == "2.4e-29"
    assert claims.as_written(140800, "1,000") == "140,800"
    assert claims.as_written(7.7, "+8.0") == "+7.7"


@pytest.mark.parametrize("page", ["80, 49\n\n94 {}", "80, 49 {} 94", "80 to x49, 0.94x {}"])
def test_numbers_that_are_missing_before_a_mark_are_an_error(claims: ModuleType, results: Path, page: str) -> None:
    (told,) = claims.problems(page.format(A_IS_80), results)
    assert "3 numbers, but" in told


@pytest.mark.parametrize("mark", ["<!-- claim:rate of x -->", "<!-- claims: rate of x -->", "<!-- claim: rate of x"])
def test_a_mark_that_cannot_be_read_is_an_error(claims: ModuleType, results: Path, mark: str) -> None:
    assert claims.problems(f"\n80 {mark}\n", results) == ["2: a mark that cannot be read; write '<!-- claim: ... -->'"]


# ---------------------------------------------------------------- this repository


def test_every_digit_of_a_marked_number_in_the_readme_counts(claims: ModuleType) -> None:
    readme, results = (ROOT / "README.md").read_text(encoding="utf-8"), ROOT / "results"
    assert claims.problems(readme, results) == []
    marked = claims.claims_of(readme)
    changed = 0
    for claim in marked:
        for start, end in claim.before[-len(claims.figures(claim.text, results)) :]:
            for i in (i for i in range(start, end) if readme[i].isdigit()):
                other = f"{readme[:i]}{(int(readme[i]) + 1) % 10}{readme[i + 1 :]}"
                assert any(told.startswith(f"{claim.line}: shows ") for told in claims.problems(other, results)), claim
                changed += 1
    assert changed > 60


def test_the_command_fails_where_a_page_or_rows_were_changed(claims: ModuleType, tmp_path: Path) -> None:
    for name in ("docs", "results"):
        shutil.copytree(ROOT / name, tmp_path / name)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    last = next(i for i in range(*claims.claims_of(text)[-1].before[-1]) if text[i].isdigit())
    (tmp_path / "README.md").write_text(f"{text[:last]}{(int(text[last]) + 1) % 10}{text[last + 1 :]}")
    page = tmp_path / "docs" / "recipe.md"
    before, made, after = page.read_text().partition("<!-- made by `toyshift study recipe")
    [cell, *_] = re.findall(r"\| \d+\.\d % \|", after)
    page.write_text(before + made + after.replace(cell, "| 12.3 % |", 1))
    done = subprocess.run(
        [sys.executable, claims.__file__, "--root", str(tmp_path)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (1, 2), lines  # these two, and nothing else in any page
    assert lines[0].startswith("README.md:")
    assert re.match(rf"docs/recipe.md:\d+: shows '.*12\.3 %.*', made again '.*{re.escape(cell)}", lines[1])
