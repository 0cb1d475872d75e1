"""The commands and options of other tools that people try, and what each is called here."""

from __future__ import annotations

_OF_COMMANDS = {
    "show": "get cat view display print describe inspect info read open versions",
    "list": "ls dir prompts find search grep ps",
    "activate": "use set promote deploy publish switch checkout enable pin golive go-live on",
    "rollback": "revert undo back roll-back previous",
    "delete": "rm remove archive del unlink drop retire purge destroy",
    "delete --undo": "restore undelete unarchive",
    "history": "log logs hist events audit blame reflog changelog",
    "create": "add new edit update put modify write make commit",
    "sync": "push apply import load",
    "sync --dry-run": "plan preview",
    "sync --check": "check lint validate verify drift",
    "export": "pull download dump backup",
    "split": "experiment canary ab abtest ab-test rollout ramp traffic weight",
    "stats": "metrics usage costs cost report analytics performance scores",
    "chat": "test run ask talk prompt message play playground try repl query",
    "render": "fill format compile expand substitute",
    "resolve": "who assign bucket",
    "diff": "compare cmp",
    "deactivate": "off disable unpublish unset",
    "erase": "redact scrub shred",
    "completion": "completions autocomplete",
    "--version": "version ver",
    "--help": "commands man ?",
    "db init": "init setup install bootstrap",
    "db migrate": "migrate upgrade",
    "db status": "status login whoami config configure doctor ping health env settings",
    "db start": "start serve server up",
    "db stop": "stop down",
    "db shell": "shell psql sql console",
    "db grant": "grant",
    "db maintain": "maintain vacuum gc prune cleanup",
    "release list": "releases",
    "route show": "routes",
}
_OF_FAMILIES = {
    "db": {
        "db init": "create setup install new",
        "db migrate": "upgrade update",
        "db status": "info ping check show url",
        "db shell": "psql sql console connect",
        "db maintain": "vacuum gc prune cleanup clean",
        "db start": "up run",
        "db stop": "down",
    },
    "release": {
        "release list": "ls log history",
        "release show": "get view cat",
        "release rollback": "revert undo",
        "activate": "create new",
    },
    "rollout": {
        "rollback": "undo",
        "history": "history",
        "show": "status",
    },
    "route": {
        "route show": "get view cat list ls",
        "route set": "add edit update create put apply replace",
        "route unset": "rm remove delete clear off",
    },
}

# (family or "", the word that is tried): the words in its place.
COMMANDS: dict[tuple[str, str], str] = {
    ("", word): command for command, tried in _OF_COMMANDS.items() for word in tried.split()
} | {
    (family, word): command
    for family, commands in _OF_FAMILIES.items()
    for command, tried in commands.items()
    for word in tried.split()
}

_RENAMING = (
    "a prompt keeps its name: create the new one, point applications at it, then archive the old one with delete"
)
_LABELS = "what is active is the only label of a version; create --meta and --description describe it"
_EMPTYING = "it empties no database; db status says which one is meant, and another one begins empty"
# What has no command here: why, and what to do instead; {0} and {1} are the words after it.
WITHOUT_COMMAND: dict[tuple[str, str], tuple[str, str]] = (
    {("", word): (_RENAMING, "promptctl show {0} | promptctl create {1} -f -") for word in ("rename", "mv", "move")}
    | {
        ("", word): ("a copy is a new prompt with the same text", "promptctl show {0} | promptctl create {1} -f -")
        for word in ("copy", "cp", "clone", "duplicate", "fork")
    }
    | {("", word): (_LABELS, "promptctl create --help") for word in ("tag", "label", "annotate", "alias")}
    | {("db", word): (_EMPTYING, "promptctl db status") for word in ("reset", "drop", "wipe", "delete", "destroy")}
    | {
        ("db", word): ("PostgreSQL's own tools do that, for the whole database", "promptctl db status")
        for word in ("dump", "backup", "restore", "load")
    }
    | {("", "reset"): ("rollback goes back, delete archives", "promptctl --help")}
    | {
        ("", word): ("rollback goes back; to go forward, activate a version", "promptctl history {0}")
        for word in ("redo", "rollforward", "roll-forward", "forward")
    }
    | {
        ("", word): ("the next calls are in the history", "promptctl history {0}")
        for word in ("watch", "tail", "follow")
    }
)

# An option that is tried: the option in its place, which takes the same value ("" takes the option away).
OPTIONS: dict[str, str] = {
    spelling: option
    for option, spellings in {
        "--json": "-j --as-json",
        "--verbose": "--debug --trace",
        "--quiet": "--silent -s",
        "--color": "--colour --colors --colours",
        "--no-pager": "--no-paging --nopager",
        "": (
            "-y --yes --no-input --non-interactive --no-interactive --assume-yes"
            " --raw --full --wide -w --long -l --no-trunc --no-truncate --plain --text-only --content-only"
        ),
        "--dry-run": "-n --dry --dryrun --check --simulate --what-if --whatif --preview --plan --noop --no-op",
        "--off": "--stop --end --disable --cancel",
        "--by": "--group-by --group --groupby",
        "--to": "--to-version --to-revision --revision --rev",
        "--limit": "--max --count --head --top --tail",
        "--since": "--from --after --last --period",
        "--at": "--as-of --date --when --time",
        "--unit": "--user --for --user-id --id",
        "--var": "--variable --set --param -p",
        "--vars-file": "--vars --values --variables --var-file",
        "--reason": "--why --comment --note --msg",
        "--file": "--input --from-file --path -i",
        "--text": "--content --body --string",
        "--database-url": "--db --dsn --url --database",
        "--attribute": "--attr --context",
        "--template": "--style --syntax",
        "--max-tokens": "--tokens",
        "--keep": "--older-than --retention",
        "--meta": "--metadata",
    }.items()
    for spelling in spellings.split()
}
# What the options are called that name a version in other tools, and those that name a part of a prompt's name.
VERSION_OPTIONS = ("--version", "--revision", "--rev", "--to-version", "--to-revision", "--to")
NAME_OPTIONS = ("--name", "--prompt")
PATTERN_OPTIONS = ("--filter", "--search", "--pattern", "--name", "--prompt", "--prefix")
# The things that other tools name before or behind a verb: `get prompts`, `prompt list`.
NOUNS = ("prompt", "prompts", "version", "versions")
# Options that take no value; of others that are not known, nothing is known.
FLAGS = frozenset({
    "-j", "--as-json", "--debug", "--trace", "--silent", "-s", "-y", "--yes", "--no-input", "--non-interactive",
    "--no-interactive", "--assume-yes", "--all", "-a", "--dry-run", "--force", "--raw", "--full", "--wide", "-w",
    "--long", "-l", "--no-trunc", "--no-truncate", "--plain", "--text-only", "--content-only", "--dry", "--dryrun",
    "--check",
    "--simulate", "--what-if", "--whatif", "--preview", "--plan", "--noop", "--no-op", "--stop", "--end", "--disable",
    "--cancel", "--no-color", "--no-colour", "--daily", "--hourly",
})  # fmt: skip
