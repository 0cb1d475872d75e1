"""Pure functions and the values that they work on. No module here uses a database, a file or the network."""
