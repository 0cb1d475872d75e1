"""Sync a folder of prompts with the database, and export the database as a folder.

A sync has three steps, each with a module of its name; `synchronize` calls them in this order:

1. `read`: list and hash the folder's files, read the state of the database, parse the prompts that may have changed.
2. `plan`: a pure function that compares what was read and returns a `changes.Plan`. `plan_checks` decides whether to
   refuse the plan.
3. `apply`: write the plan to the database, in the same transaction.

`upload` stores new texts during step 1 of a sync that will be applied. `saved_plans` applies a plan from a file, which
`plan_documents` writes and parses. `overlaps` refuses a folder whose prompts another source has applied.

`export` does the reverse: it writes the prompts of the database into a folder.
"""
