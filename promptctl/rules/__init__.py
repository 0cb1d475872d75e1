"""Rules without a database, a file or a network: pure functions and the values that they take."""
