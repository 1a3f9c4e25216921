"""The processes of one training: one by itself, or several through Hugging Face Accelerate, one per GPU or CPU share.

Every process draws the same batch, trains on its own slice of it and ends each step with the same weights; the first
writes.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.files import locked
from toyshift.policies.devices import choose_device

# What torchrun, `accelerate launch`, Slurm's PMI and MPI call the number of processes.
COUNT_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
PATIENCE = datetime.timedelta(hours=6)  # the first process may decode a dataset while the others wait


class Processes:
    """The one process of an ordinary training; Accelerate is not even imported.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes.
        device: where this process computes.
    """

    rank, count = 0, 1

    def __init__(self, device: str) -> None:
        self.device = choose_device(device)

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """Returns the part of a batch of `size` samples that this process trains on."""
        own = size // self.count
        return slice(self.rank * own, (self.rank + 1) * own)

    def wrap(self, network: nn.Module) -> nn.Module:
        """Returns the network whose gradients are averaged over the processes."""
        return network

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[None]:
        """Returns a block in which gradients are added up in this process only."""
        return contextlib.nullcontext()

    def total(self, *values: float) -> list[float]:
        """Returns the sums of these numbers over the processes."""
        return list(values)

    def wait(self) -> None:
        """Returns when every process has come here."""

    @contextlib.contextmanager
    def locked(self, path: Path) -> Iterator[None]:
        """Holds a lock against other runs; see `core.files.locked`."""
        with locked(path) if self.first else contextlib.nullcontext():
            self.wait()
            yield

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """Lets the first process go through a block before the others: it makes what they then find."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()


class ManyProcesses(Processes):
    """The processes that torchrun or `accelerate launch` has started.

    Raises:
        MissingDependencyError: Accelerate is not installed.
    """

    def __init__(self, device: str) -> None:
        super().__init__(device)
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
        except ImportError as error:
            raise MissingDependencyError(
                "training in several processes needs Accelerate; run `pip install 'toyshift[distributed]'`"
            ) from error
        handlers = [
            # The vector for hidden views gets a gradient only where a view was hidden; no buffer ever changes.
            DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ]
        # Autocast and accumulation are the run's own business.
        on_cpu = self.device.type == "cpu"
        self._accelerator: Any = Accelerator(cpu=on_cpu, mixed_precision="no", kwargs_handlers=handlers)
        self.device = self._accelerator.device
        self.rank, self.count = self._accelerator.process_index, self._accelerator.num_processes

    def wrap(self, network: nn.Module) -> nn.Module:
        wrapped: nn.Module = self._accelerator.prepare_model(network)
        return wrapped

    def unsynchronised(self, network: nn.Module) -> AbstractContextManager[None]:
        block: AbstractContextManager[None] = self._accelerator.no_sync(network)
        return block

    def total(self, *values: float) -> list[float]:
        mine = torch.tensor(values, dtype=torch.float64, device=self.device)
        out: list[float] = self._accelerator.reduce(mine, "sum").tolist()
        return out

    def wait(self) -> None:
        self._accelerator.wait_for_everyone()


def open_processes(device: str) -> Processes:
    """Returns the processes of this training: those that a launcher has started, or this one.

    Args:
        device: auto, cpu or cuda.
    """
    started = any(int(os.environ.get(name) or 1) > 1 for name in COUNT_VARIABLES)
    return ManyProcesses(device) if started else Processes(device)


def require_even(batch_size: int, accumulate: int, count: int) -> None:
    """Raises ConfigError where a batch cannot be cut into equal parts, one per process and pass."""
    if batch_size % (accumulate * count):
        raise ConfigError(
            f"accumulate is {accumulate}: a batch of {batch_size} cannot be cut into "
            f"{count} processes x {accumulate} passes; "
            f"make --batch-size a multiple of {count * accumulate}"
        )
