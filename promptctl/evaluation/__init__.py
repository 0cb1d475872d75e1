"""Run the cases of a prompt against two texts of it, with Claude, and compare the results."""
