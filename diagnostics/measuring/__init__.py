"""Measures that say one thing each as a `Finding`, from rows or arrays alone, and data with planted answers."""
