"""Every argument and option, once: what it is called, what its help says, how its words complete.

Commands name these aliases in their annotations and import this module for the type checker only, so that a command
whose words the table (`cli.table`) can read runs without Typer.
"""

from __future__ import annotations

from typing import Annotated

import typer

# Shared by every command (cli.run.Run).
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="The database; else PROMPTCTL_DATABASE_URL, DATABASE_URL, libpq's PG* variables, the embedded one.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Answer with the reference only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, on standard error.")]
LogFormat = Annotated[
    str | None,
    typer.Option("--log-format", metavar="FORM", help="Log in this form: text, or json, one object a line."),
]

# A name or a reference.
Name = Annotated[str, typer.Argument(metavar="NAME", help="The prompt.")]
NewName = Annotated[str, typer.Argument(metavar="NAME", help="The prompt; it need not exist yet.")]
OptionalName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="The prompt; else all of them.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="The prompts.")]
Pattern = Annotated[
    str | None,
    typer.Argument(metavar="[PATTERN]", help="Part of a name, or a pattern with * and ?; quote it from the shell."),
]
Reference = Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The version; a bare name is the active one.")]
References = Annotated[list[str], typer.Argument(metavar="NAME@VERSION...", help="The versions.")]
VersionReference = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version.")]
Left = Annotated[
    str,
    typer.Argument(metavar="NAME[@A]", help="The old side; with no other side, A is compared with the active version."),
]
Right = Annotated[str | None, typer.Argument(metavar="[NAME@B]", help="The new side.")]

# What a change says of itself.
Author = Annotated[
    str | None,
    typer.Option(
        "--author",
        metavar="WHO",
        help="Who does this; else PROMPTCTL_AUTHOR, Git's user.email, the system's user.",
    ),
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Why; it stands in the history.")]

# One command's own.
Text = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The text.")]
File = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="Read the text from a file; - is standard input.")
]
Activate = Annotated[bool, typer.Option("--activate", help="Make it the active version at once.")]
Description = Annotated[
    str | None, typer.Option("--description", "-d", metavar="TEXT", help="A few words on the version.")
]
Meta = Annotated[
    list[str] | None,
    typer.Option("--meta", metavar="KEY=VALUE", help="Metadata; a value that is JSON is kept as such. Repeatable."),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="TIME", help="What was live then: RFC 3339, a local date and time, or an age such as 2h."
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", "-n", metavar="N", help="Show the newest N; 0 is all. On a terminal 20, else all."),
]
ToVersion = Annotated[
    str | None, typer.Option("--to", metavar="N", help="Go back to this version; being there already is fine.")
]
ExpectedVersion = Annotated[
    str | None, typer.Option("--expect", metavar="N", help="Refuse when the active version is not N (any more).")
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when the two differ.")]
Undo = Annotated[bool, typer.Option("--undo", help="Take the version back into use.")]
Folder = Annotated[str, typer.Argument(metavar="[FOLDER]", help="The folder of prompts; prompts/ by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and apply nothing.")]
Check = Annotated[bool, typer.Option("--check", help="Show the plan, apply nothing, exit with 3 if there is one.")]
Source = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="What this folder is called; else the repository and the folder."),
]
Login = Annotated[str, typer.Argument(metavar="LOGIN", help="A login role that exists.")]
Access = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="ACCESS",
        help="viewer (reads), application (resolves and records uses) or operator (changes prompts).",
    ),
]
Sql = Annotated[
    str | None, typer.Option("--command", "-c", metavar="SQL", help="Run this instead of asking for statements.")
]
Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
