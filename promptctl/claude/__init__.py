"""Claude's API: its client, what it refuses, its settings, and what a call costs."""
