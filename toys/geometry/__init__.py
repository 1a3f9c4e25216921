"""Geometry of solids: mass properties, rest poses, convex parts, self-intersections."""
