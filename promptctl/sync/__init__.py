"""From a folder to the database and back: read, plan, apply, export."""
