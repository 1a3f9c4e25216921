"""Policies behind a server, ours and other people's."""
