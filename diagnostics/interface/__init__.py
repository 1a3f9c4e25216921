"""The interface gate: is a policy wired to its observations and actions as it was trained? Asked before any episode."""
