"""Corrections of command lines. A line without a mistake imports nothing of this."""
