"""Prompts on disk: the files, what they say, and where they come from."""
