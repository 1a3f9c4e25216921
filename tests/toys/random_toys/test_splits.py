"""Splits: the two sides share nothing of what the split is about, whatever n and seed; selection reads its table."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError, ToyShiftError
from toyshift.core.seeds import stream
from toyshift.toys import load_objects
from toyshift.toys.graspability import read_table, table_path
from toyshift.toys.random_toys.distribution import LEGO_KINDS
from toyshift.toys.random_toys.sampling import sample_toy
from toyshift.toys.random_toys.splits import LONGEST_SPAN, SPLITS, span
from toyshift.toys.random_toys.toy import Toy
from toyshift.toys.random_toys.toy_set import MAX_N, ToySet

N = 12


def _sides(split: str) -> tuple[list[Toy], list[Toy]]:
    found = []
    for side in ("train", "test"):
        toys: list[Toy] = []
        for seed in (0, 1):
            objects = load_objects(f"toys:{side}@{split}?n={N}&seed={seed}")
            assert isinstance(objects, ToySet)
            toys += [objects.toy(name) for name in objects.ids]
        found.append(toys)
    return found[0], found[1]


@pytest.mark.parametrize("split", sorted(SPLITS))
def test_every_toy_has_one_side_and_both_sides_are_common(split: str) -> None:
    sides = [SPLITS[split](sample_toy(stream(9, i))) for i in range(120)]
    assert set(sides) == {"train", "test"}
    assert 0.15 < sides.count("test") / 120 < 0.75
    train, test = _sides(split)
    assert not {t.id for t in train} & {t.id for t in test}


def test_composition_no_pair_of_kinds_that_makes_a_test_toy_was_seen_together() -> None:
    train, test = _sides("composition")

    def pairs(toy: Toy) -> set[frozenset[str]]:
        return {frozenset(pair) for pair in itertools.combinations(sorted({p.kind for p in toy.primitives}), 2)}

    seen = set().union(*map(pairs, train))
    assert all(pairs(toy) - seen for toy in test)  # each test toy holds a pair that no training toy holds
    assert {p.kind for t in train for p in t.primitives} == set(LEGO_KINDS)  # every kind was seen all the same


def test_count_test_toys_have_more_primitives_than_any_training_toy() -> None:
    train, test = _sides("count")
    assert min(len(t.primitives) for t in test) > max(len(t.primitives) for t in train)


def test_size_test_toys_are_longer_than_any_training_toy() -> None:
    train, test = _sides("size")
    # by brute force over all vertices, where splits.py uses the hull
    longest = [
        max(float(np.linalg.norm(v[:, None] - v[None], axis=2).max()) for v in [t.mesh().vertices[::3]]) for t in train
    ]
    assert max(longest) <= LONGEST_SPAN < min(map(span, test))


def test_the_span_of_a_box_is_its_diagonal_however_it_is_turned() -> None:
    from toyshift.toys.random_toys.primitives import Primitive

    box = Primitive("cuboid", (0.03, 0.04, 0.12), (0.1, 0.0, 0.0), (0.3, -0.4, 0.5, 0.6))
    assert span(Toy((box,), "red")) == pytest.approx(0.13, rel=1e-6)


def test_random_is_the_split_of_plain_train_and_test_and_other_distributions_do_not_leak_either() -> None:
    assert load_objects("toys:test@random?n=4").fingerprint == load_objects("toys:test?n=4").fingerprint
    train, test = load_objects("toys:train?n=8&of=without-ring"), load_objects("toys:test?n=8&of=without-ring")
    assert all(g.kind != "ring" for o in train for g in o.info["toy"]["primitives"] and o.geoms)
    assert {p["kind"] for o in train for p in o.info["toy"]["primitives"]} == {"sphere", "cuboid", "cylinder"}
    assert not set(train.ids) & set(test.ids)


def test_a_toy_set_keeps_no_toys_but_draws_them_again() -> None:
    objects = load_objects("toys:train@count?n=5")
    assert isinstance(objects, ToySet)
    assert [objects.toy(name).id for name in objects.ids] == list(objects.ids)
    assert Toy.from_json(objects[2].info["toy"]) == objects.toy(objects.ids[2])


def test_selection_takes_the_most_graspable_of_the_pool_and_says_what_computes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path))
    spec = "toys:lego?n=3&select=top-graspable&pool=6&seed=5"
    with pytest.raises(FileError, match=r"6 of 6 toys.*toyshift toys graspability 'toys:lego\?n=6&seed=5'"):
        load_objects(spec)
    pool = load_objects("toys:lego?n=6&seed=5").ids
    successes = [3, 8, 0, 5, 8, 7]
    lines = [json.dumps({"id": name, "successes": s, "tries": 8}) for name, s in zip(pool, successes, strict=True)]
    table_path().write_text(
        "\n".join(lines[:-1]) + "\n" + lines[-1][:-9], encoding="utf-8"
    )  # a kill cut the last line short
    with pytest.raises(FileError, match="1 of 6 toys"):
        load_objects(spec)
    table_path().write_text("\n".join(lines) + "\n", encoding="utf-8")
    best = load_objects(spec)
    assert best.ids == (pool[1], pool[4], pool[5])
    assert load_objects(spec.replace("n=3", "n=2")).ids == best.ids[:2]
    assert [o.id for o in best] == list(best.ids)
    assert read_table(table_path())[pool[3]] == 5 / 8


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("toys:lego@count", "variant of toys:lego"),
        ("toys:train@composit", "Did you mean 'composition'"),
        ("toys:train?of=lgo", "Did you mean 'lego'"),
        ("toys:lego?of=pairs", "goes with toys:train"),
        ("toys:train?select=best", "top-graspable"),
        ("toys:train?pool=9", "pool goes with select"),
        ("toys:train?n=9&select=top-graspable&pool=5", "of a pool of 5"),
        (f"toys:lego?n={MAX_N + 1}", "at most 1000000"),
        ("toys:/nowhere/d.json", "does not exist"),
        ("toys:without-rings", "Did you mean 'without-ring'"),
    ],
)
def test_bad_specs(spec: str, words: str) -> None:
    with pytest.raises(ToyShiftError) as caught:
        load_objects(spec)
    assert words in str(caught.value)


def test_a_side_that_a_distribution_cannot_fill_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toyshift.toys.random_toys.toy_set.GIVE_UP", 50)
    with pytest.raises(ConfigError, match="none of 50 toys is on the test side of the count split"):
        load_objects("toys:test@count?of=pairs")
