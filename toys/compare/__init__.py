"""How far apart in shape objects are."""
