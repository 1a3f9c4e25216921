"""Plain colours of the YCB-like shapes: red, green and blue, 0..1."""

from __future__ import annotations

Colour = tuple[float, float, float]

RED, GREEN, BLUE, YELLOW = (0.75, 0.12, 0.1), (0.2, 0.55, 0.25), (0.15, 0.3, 0.65), (0.92, 0.78, 0.15)
WHITE, STEEL, BLACK = (0.92, 0.92, 0.9), (0.62, 0.64, 0.66), (0.12, 0.12, 0.13)
WOOD, ORANGE, BROWN = (0.72, 0.55, 0.35), (0.93, 0.5, 0.12), (0.35, 0.22, 0.1)
