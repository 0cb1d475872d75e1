"""Conversations with Claude through a prompt, and the files that store them."""
