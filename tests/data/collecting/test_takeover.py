"""A beginner plays first, then the expert is recorded: from where it took over, if there was something to take over."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from toyshift.core.contract import SIM_STATE
from toyshift.core.errors import ContractError, ToyShiftError
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.replay import replay
from toyshift.data.collecting.takeover import Starter, TakeOver
from toyshift.data.grasping.choose import make_expert
from toyshift.data.store.dataset import open_dataset
from toyshift.envs.tasks.success import Judge


class Anywhere:
    """Plays in every environment."""

    def check(self, env: Any) -> None: ...


class Downwards(Anywhere):
    """Goes down a little and closes, on nothing: in 14 steps the hand comes to no object."""

    def reset(self, env: Any, seed: int, episode: int) -> None:
        self.calls = 0

    def actions(self, env: Any) -> NDArray[np.float32]:
        self.calls += 1
        return np.array([[0.01, 0.0, -0.008, 0.0, 0.0, 0.0, float(self.calls < 3)]] * 4, np.float32)


class Masterly(Anywhere):
    """Plays as the expert does."""

    def reset(self, env: Any, seed: int, episode: int) -> None:
        self.expert = make_expert(env)
        self.expert.reset(seed, episode)

    def actions(self, env: Any) -> NDArray[np.float32]:
        return self.expert.act()[None]


class Elsewhere(Downwards):
    """Knows another environment."""

    def check(self, env: Any) -> None:
        raise ContractError(f"made for another environment than {type(env).__name__}")


@dataclasses.dataclass(frozen=True)
class Plays:
    kind: str

    def load(self) -> Starter:
        return {"downwards": Downwards, "masterly": Masterly, "elsewhere": Elsewhere}[self.kind]()


def config(out: Path, take_over: TakeOver | None, **options: Any) -> CollectConfig:
    return CollectConfig(
        "toys:train?n=4", 3, out, image_size=32, cameras=("front",), take_over=take_over, **{"workers": 0, **options}
    )


def test_episodes_begin_where_the_expert_took_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # so that workers find this module, by the name pytest gives it
    monkeypatch.syspath_prepend(Path(__file__).parents[3])
    made = config(tmp_path / "a", TakeOver(Plays("downwards"), 6, 14))
    result = collect(made, progress=False)
    dataset = open_dataset(made.out)
    control = made.env_config().substeps * made.env_config().physics_dt
    for episode in range(3):
        found = dataset.episode(episode, [SIM_STATE])
        begun = found.meta["factors"]["begun"]
        assert 6 <= begun <= 14
        assert found.frames[SIM_STATE][0, 0] == pytest.approx(begun * control)  # the simulator's clock
    again = replay(dataset)
    assert again["share"] == 1.0
    assert again["max_drift"] == 0.0
    parallel = collect(dataclasses.replace(made, out=tmp_path / "b", workers=2), progress=False)
    assert parallel["content_hash"] == result["content_hash"]


@pytest.mark.parametrize("alone", ["holds", "lifts"])
def test_what_the_beginner_does_alone_is_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: str
) -> None:
    """Neither where it still holds the object when the expert is due, nor where it has lifted it before."""
    judge = Judge.judge

    def planted(verdict: Judge, *args: Any) -> None:
        judge(verdict, *args)
        verdict.predicates["held"] = alone == "holds"
        verdict.success = alone == "lifts"

    monkeypatch.setattr(Judge, "judge", planted)
    made = dataclasses.replace(config(tmp_path / "a", TakeOver(Plays("masterly"), 3, 3)), cameras=())
    with pytest.raises(ToyShiftError, match=r"all failed.*not taken over"):
        collect(made, progress=False)


def test_a_dataset_belongs_to_its_beginner(tmp_path: Path) -> None:
    plain, downwards, later = (
        config(tmp_path, t) for t in (None, TakeOver(Plays("downwards")), TakeOver(Plays("downwards"), 10))
    )
    assert len({plain.key, downwards.key, later.key, config(tmp_path, TakeOver(Plays("masterly"))).key}) == 4


def test_a_beginner_of_another_environment_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    made = config(tmp_path / "a", TakeOver(Plays("elsewhere")))
    with pytest.raises(ContractError, match="another environment than GraspEnv"):
        collect(made, progress=False)
    assert not made.out.exists()
