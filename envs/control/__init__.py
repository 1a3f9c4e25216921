"""From actions to commanded joints."""
