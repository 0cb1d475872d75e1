"""Connecting to PostgreSQL and running statements; the embedded server."""
