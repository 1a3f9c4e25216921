"""The environments as others want them: vectorised, Stable-Baselines3, LeRobot's EnvHub, robosuite."""
