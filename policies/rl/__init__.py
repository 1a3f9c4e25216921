"""Training by reinforcement learning."""
