"""The MuJoCo scene: table, robot, cameras, lights, and bodies for objects."""
