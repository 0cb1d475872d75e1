"""The client of an application: which prompt to use now, from memory, and a record of each use, by a thread."""
