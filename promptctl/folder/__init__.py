"""Prompts on disk: the files, what they contain, and where they come from."""
