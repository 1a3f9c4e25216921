"""Other people's objects: mesh files read, repaired, and named as sets."""
