"""Claude's API: the client, errors, settings and prices."""
