"""Training by imitation."""
