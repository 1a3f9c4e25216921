"""Progress bars on stderr with time left, silent when stderr is not a terminal and the work is short."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")


class Progress:
    """A counter with a bar: `with Progress("collect", total=500) as bar: bar.update(1, yield_=0.9)`.

    Where stderr is no terminal (CI, a log file), one line is written about every 10 seconds instead; nothing unless `shown`.
    """

    def __init__(
        self, label: str, total: int | None, unit: str = "it", initial: int = 0, *, shown: bool = True
    ) -> None:
        from tqdm import tqdm  # imported here: `toyshift --help` must not pay for it

        live = sys.stderr.isatty()
        self._bar = tqdm(
            total=total, desc=label, unit=unit, initial=initial, file=sys.stderr, dynamic_ncols=live,
            mininterval=0.2 if live else 10.0, ascii=not live, leave=True, delay=1.0, disable=not shown,
        )

    def update(self, n: int = 1, **figures: float | str) -> None:
        """Adds n, and shows figures such as loss=0.123 behind the bar."""
        if figures:
            text = {k.rstrip("_"): f"{v:.3g}" if isinstance(v, float) else str(v) for k, v in figures.items()}
            self._bar.set_postfix(text, refresh=False)
        self._bar.update(n)

    def close(self) -> None:
        self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def track(
    items: Iterable[T], label: str, total: int | None = None, unit: str = "it", *, shown: bool = True
) -> Iterator[T]:
    """Iterates over items behind a progress bar; nothing is drawn unless `shown`."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(label, total, unit, shown=shown) as bar:
        for item in items:
            yield item
            bar.update()
