"""Measures that say one thing each as a `Finding`, from rows, arrays or inside a network; and planted data."""
