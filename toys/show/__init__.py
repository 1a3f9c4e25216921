"""Objects for people: a page with models to turn, and files for a 3-D printer."""
