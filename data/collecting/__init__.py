"""Demonstrations played and recorded; sub-datasets with planted factors."""
