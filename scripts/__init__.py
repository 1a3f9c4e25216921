"""The `toyshift` command: one thin file per sub-command; the place where the rooms meet."""
