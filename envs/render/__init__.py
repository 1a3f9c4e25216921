"""Pictures: offscreen rendering, portraits of objects, MuJoCo's viewer."""
