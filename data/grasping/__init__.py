"""Grasps: their search on an object's surface, and the scripted expert that executes them."""
