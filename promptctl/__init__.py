"""System prompts in PostgreSQL: numbered versions that never change, and a pointer to the one that is served."""

__version__ = "0.1.0.dev0"

# What schema.sql installs, and what the statements of `store` are written for.
SCHEMA_VERSION = 3
