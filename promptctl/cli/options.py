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
        help="The database, or embedded:; else PROMPTCTL_DATABASE_URL, DATABASE_URL, PGHOST …, the embedded one.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Answer with the reference only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log what is done, on standard error.")]
LogFormat = Annotated[
    str | None,
    typer.Option("--log-format", metavar="FORM", help="Log in this form: text, or json, one object a line."),
]
Color = Annotated[
    str | None,
    typer.Option(
        "--color",
        metavar="WHEN",
        help="Use colors: auto, always or never; auto is for terminals, and as NO_COLOR and FORCE_COLOR say.",
    ),
]
NoPager = Annotated[bool, typer.Option("--no-pager", help="Show a long answer without the pager.")]

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
PromptsOrVersions = Annotated[
    list[str], typer.Argument(metavar="NAME[@VERSION]...", help="The versions; a bare name is the whole prompt.")
]
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
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        "-r",
        "--message",
        "-m",
        metavar="TEXT",
        help="Why; it stands in the history. Also -m, --message.",
    ),
]

# One command's own.
Text = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="The text; - is standard input.")]
File = Annotated[
    str | None, typer.Option("--file", "-f", metavar="FILE", help="Read the text from a file; - is standard input.")
]
Literal = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="The text as it is written, a file's name or not."),
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
ListLimit = Annotated[
    int | None, typer.Option("--limit", "-n", metavar="N", help="Show the first N by name; 0, the default, is all.")
]
ToVersion = Annotated[
    str | None, typer.Option("--to", metavar="N", help="Go back to this version; being there already is fine.")
]
ExpectedVersion = Annotated[
    str | None, typer.Option("--expect", metavar="N", help="Refuse when the active version is not N (any more).")
]
ExitCode = Annotated[bool, typer.Option("--exit-code", help="Exit with 3 when the two differ.")]
Undo = Annotated[bool, typer.Option("--undo", help="Take them back into use.")]
Rehearse = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, or be refused, and change nothing.")]
Archived = Annotated[bool, typer.Option("--archived", help="Show what is archived instead.")]
Folder = Annotated[str | None, typer.Argument(metavar="[FOLDER]", help="The folder of prompts; prompts/ by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and apply nothing.")]
Check = Annotated[
    bool, typer.Option("--check", help="Show the plan, apply nothing, exit with 3 if there is one, 5 if refused.")
]
Source = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="What this folder is called; else the repository and the folder."),
]
SavePlan = Annotated[
    str | None, typer.Option("--save-plan", metavar="FILE", help="Show the plan, apply nothing, keep it in a file.")
]
ApplyPlan = Annotated[
    str | None,
    typer.Option("--apply-plan", metavar="FILE", help="Apply that plan, or nothing if the database moved since."),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="FORM", help="The form of the plan: text, markdown (for a comment), json."),
]
Adopt = Annotated[
    bool, typer.Option("--adopt", help="Take over prompts that are live, or come, from elsewhere. For one run.")
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Apply an older commit, a folder that overlaps another source, or a plan that moves more than a third.",
    ),
]
AllowSecrets = Annotated[bool, typer.Option("--allow-secrets", help="Store what looks like a key: an example.")]
ExportFolder = Annotated[
    str | None, typer.Argument(metavar="[FOLDER]", help="Where the prompts go; prompts/ by default.")
]
Only = Annotated[
    str | None,
    typer.Option("--only", metavar="PATTERN", help="Part of a name, or a pattern with * and ?: only such prompts."),
]
Overwrite = Annotated[bool, typer.Option("--force", help="Replace files that say something else.")]
Release = Annotated[str, typer.Argument(metavar="N", help="The number of the release.")]
SkipMoved = Annotated[bool, typer.Option("--skip-moved", help="Leave alone what has moved since the release.")]
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
SqlFile = Annotated[
    str | None,
    typer.Option("--file", "-f", metavar="FILE", help="Run the statements of a file; - is standard input."),
]
Shell = Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]
TemplateStyle = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="STYLE", help="How variables are written: braces {x}, mustache {{x}}, or none at all."
    ),
]
TemplateDefault = Annotated[
    str | None,
    typer.Option(
        "--template", metavar="STYLE", help="The style of texts whose prompt.yaml has none: braces, mustache or none."
    ),
]
Defaults = Annotated[
    list[str] | None,
    typer.Option("--default", metavar="NAME=TEXT", help="What stands for a variable that is not given. Repeatable."),
]
Model = Annotated[str | None, typer.Option("--model", metavar="NAME", help="The model that chat asks.")]
MaxTokens = Annotated[int | None, typer.Option("--max-tokens", metavar="N", help="The longest reply that chat gets.")]
AllowNewVariables = Annotated[
    bool,
    typer.Option(
        "--allow-new-variables", help="Go to a version that needs a variable which the active version does not."
    ),
]
Variables = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="The value of a variable. Repeatable."),
]
VariablesFile = Annotated[
    str | None,
    typer.Option("--vars-file", metavar="FILE", help="Values of variables, as YAML or JSON; --var outranks it."),
]
Unit = Annotated[
    str | None,
    typer.Option("--unit", metavar="UNIT", help="Whom it is for, a user's id, say: the version that UNIT is given."),
]

# split, route and resolve.
SplitReference = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="The prompt, and the candidate of a new split.")
]
Share = Annotated[
    str | None, typer.Argument(metavar="[SHARE]", help="The candidate's share: 10%, 0.5%, 12.25%; an A/B test: 50%.")
]
Off = Annotated[bool, typer.Option("--off", help="End the split: the active version is for everybody.")]
Seed = Annotated[
    str | None,
    typer.Option("--seed", metavar="TEXT", help="What units are drawn by; NAME.EPOCH of the start by default."),
]
RouteFile = Annotated[
    str,
    typer.Option("--file", "-f", metavar="FILE", help="Read the route from this file; - is standard input."),
]
ResolvedUnit = Annotated[
    str | None,
    typer.Option("--unit", metavar="UNIT", help="Whom it is for: what the application gives, a user's id, say."),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="KEY=VALUE",
        help="What is known of the request; true and numbers are that, all else is text. Repeatable.",
    ),
]

# chat's own.
MessageText = Annotated[
    str | None,
    typer.Argument(metavar="[MESSAGE]", help="What to ask; - is standard input; without it, a conversation."),
]
MessageLiteral = Annotated[
    str | None,
    typer.Option("--text", metavar="MESSAGE", help="The message as it is written, a file's name or not."),
]
MessageFile = Annotated[
    str | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="Read the message from a file, after MESSAGE; - is standard input."
    ),
]
Against = Annotated[
    str | None,
    typer.Option("--against", metavar="NAME[@VERSION]", help="Ask this one the same, and show both replies."),
]
ChatModel = Annotated[
    str | None,
    typer.Option("--model", metavar="MODEL", help="The model; else the version's, else claude-sonnet-5-5."),
]
ChatMaxTokens = Annotated[
    int | None,
    typer.Option("--max-tokens", metavar="N", help="The longest reply; else the version's, else 8192 tokens."),
]
Usage = Annotated[bool, typer.Option("--usage", help="Say what a reply took: tokens and times.")]
NoStream = Annotated[bool, typer.Option("--no-stream", help="Show a reply when it is complete.")]
Save = Annotated[
    str | None,
    typer.Option("--save", metavar="FILE", help="Save the conversation in a new file, to continue it later."),
]
Continue = Annotated[
    str | None, typer.Option("--continue", metavar="FILE", help="Go on from a saved conversation, and save it there.")
]
Timeout = Annotated[
    int | None,
    typer.Option("--timeout", metavar="SECONDS", help="Give up when Claude is silent for so long; 120 by default."),
]

# db maintain's own.
Keep = Annotated[
    str | None,
    typer.Option("--keep", metavar="AGE", help="Drop single uses that are older, 30d say; else all are kept."),
]

# stats' own.
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Uses from then on: RFC 3339, a local date and time, or an age."),
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="KEYS", help="Group by version, day, hour or model, or several: day,version."),
]
AllVersions = Annotated[bool, typer.Option("--all", help="Show versions that were never used, too.")]
Csv = Annotated[bool, typer.Option("--csv", help="Answer in CSV, with a header.")]
