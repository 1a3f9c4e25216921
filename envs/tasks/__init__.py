"""The tasks: how an episode begins, goes on and is judged."""
