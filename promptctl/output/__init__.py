"""The only package that knows what a terminal is: records become tables, tab-separated lines, JSON, messages."""
