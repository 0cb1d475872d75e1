"""The client for applications: returns active versions from memory and records uses in a background thread."""
