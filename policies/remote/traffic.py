"""What a policy server has done so far, in Prometheus' text format."""

from __future__ import annotations

import collections
import threading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)  # of the histograms' buckets [s]
COUNTERS = {
    "connections": "Connections that have been greeted.",
    "refused": "Connections and clients that were turned away, by reason.",
    "observations": "Observations that have arrived.",
    "superseded": "Observations that were not answered because a newer one of the same client was there.",
    "answers": "Observations that were answered.",
    "episodes": "Episodes that were begun: their clients said so, or paused.",
    "errors": "Clients that were sent an error, by whose it was.",
}
HISTOGRAMS = {
    "infer_seconds": "Time to compute an answer.",
    "wait_seconds": "Time from an observation's arrival to its client's turn.",
}


class Traffic:
    """Counts; many threads may."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[tuple[str, str]] = collections.Counter()  # (name, label)
        self._buckets = {name: [0] * len(BOUNDS) for name in HISTOGRAMS}
        self._sums = dict.fromkeys(HISTOGRAMS, 0.0)
        self._totals = dict.fromkeys(HISTOGRAMS, 0)

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Adds to one of `COUNTERS`; the label is 'name="value"' or empty."""
        with self._lock:
            self._counts[name, label] += by

    def time(self, name: str, seconds: float) -> None:
        """Adds a duration to one of `HISTOGRAMS`."""
        with self._lock:
            for i, bound in enumerate(BOUNDS):
                self._buckets[name][i] += seconds <= bound
            self._sums[name] += seconds
            self._totals[name] += 1

    def text(self, clients: int) -> str:
        """Returns all of it, and how many clients there are now."""
        lines = ["# HELP toyshift_clients Clients that are connected.", "# TYPE toyshift_clients gauge"]
        lines.append(f"toyshift_clients {clients}")
        with self._lock:
            for name, meaning in COUNTERS.items():
                full = f"toyshift_{name}_total"
                lines += [f"# HELP {full} {meaning}", f"# TYPE {full} counter"]
                labels = sorted(label for counted, label in self._counts if counted == name) or [""]
                lines += [f"{full}{f'{{{label}}}' if label else ''} {self._counts[name, label]}" for label in labels]
            for name, meaning in HISTOGRAMS.items():
                full = f"toyshift_{name}"
                lines += [f"# HELP {full} {meaning}", f"# TYPE {full} histogram"]
                buckets = zip((*map(str, BOUNDS), "+Inf"), (*self._buckets[name], self._totals[name]), strict=True)
                lines += [f'{full}_bucket{{le="{bound}"}} {count}' for bound, count in buckets]
                lines += [f"{full}_sum {self._sums[name]!r}", f"{full}_count {self._totals[name]}"]
        return "\n".join(lines) + "\n"
