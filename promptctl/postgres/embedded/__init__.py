"""The embedded server: a PostgreSQL of our own for people who have none.

`location` says where it is and is all that a command needs while it runs; `server` starts, stops and describes it;
`binaries`, `home`, `cluster` and `listening` are what `server` is made of.
"""
