"""The command line: parse, call, hand the result to output. No SQL, no git, no tables drawn here."""
