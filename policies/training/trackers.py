"""Where the figures of a training go beside metrics.jsonl: TensorBoard always, Weights & Biases if asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.extras import needs
from toyshift.core.files import content_hash
from toyshift.policies.training.config import TrainConfig

Tracker = Callable[[int, dict[str, float]], None]  # takes the figures of a step


def curves(folder: Path, step: int) -> Any:
    """Returns TensorBoard's writer of a run that goes on behind `step`.

    Raises:
        MissingDependencyError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise needs("tensorboard", "a training's curve", error) from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


@contextlib.contextmanager
def tracker(config: TrainConfig, step: int) -> Iterator[Tracker]:
    """Opens the trackers of a run that goes on behind `step`, and closes them with the block.

    Raises:
        MissingDependencyError: TensorBoard is not installed; or Weights & Biases, and it is asked for.
        ConfigError: it refuses the run (no account on this machine, no network).
    """
    folder = Path(config.out)
    online = _wandb_run(config, folder) if config.wandb else None
    writer = curves(folder, step)

    def track(now: int, figures: dict[str, float]) -> None:
        for key, figure in figures.items():
            writer.add_scalar(f"train/{key}", figure, now)
        if online is not None:
            online.log({f"train/{key}": figure for key, figure in figures.items()}, step=now)

    try:
        yield track
    finally:
        writer.close()
        if online is not None:
            online.finish()


def _wandb_run(config: TrainConfig, folder: Path) -> Any:
    try:
        import wandb
    except ImportError as error:
        raise MissingDependencyError(
            "--wandb needs Weights & Biases; run `pip install 'toyshift[wandb]'`, "
            "or read the TensorBoard curves in the trained folder"
        ) from error
    name = content_hash(str(folder.resolve()))  # the same folder goes on in the same run
    try:
        return wandb.init(
            project=config.wandb, name=folder.name, id=name, resume="allow", dir=str(folder), config=config.to_json()
        )
    except wandb.errors.Error as error:
        raise ConfigError(
            f"Weights & Biases refuses the run ({' '.join(str(error).split())}); "
            "`wandb login`, or WANDB_MODE=offline and `wandb sync` later"
        ) from error
