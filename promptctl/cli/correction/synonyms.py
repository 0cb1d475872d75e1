"""Words of other tools, and the command or option of promptctl that each one means."""

from __future__ import annotations

# By command: the words that mean it.
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
    "export": "pull download",
    "db dump": "dump backup",
    "split": "experiment canary ab abtest ab-test traffic weight",
    "rollout status": "rollouts progress",
    "rollout start": "ramp progressive gradual phase-in",
    "rollout tick": "tick",
    "rollout pause": "pause halt",
    "rollout resume": "resume unpause",
    "stats": "metrics usage costs cost analytics performance scores",
    "top": "live monitor htop dashboard",
    "report": "reports html page chart charts graphs overview",
    "chat": "run ask talk prompt message play playground try repl query",
    "tokens": "count token count-tokens size",
    "render": "fill format compile expand substitute",
    "resolve": "who assign bucket",
    "diff": "cmp",
    "compare": "comparison versus vs winner better verdict significance",
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
# By first word: the same for the second word, for example of `db create`.
_OF_FAMILIES = {
    "db": {
        "db init": "create setup install new",
        "db migrate": "upgrade update",
        "db status": "info ping check show",
        "db url": "uri dsn string",
        "db dump": "backup save export",
        "db restore": "load import",
        "db verify": "validate fsck",
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
        "rollout start": "begin create new run restart",
        "rollout status": "show get list ls view info state",
        "rollout tick": "step advance next check evaluate",
        "rollout watch": "follow wait",
        "rollout pause": "hold freeze halt",
        "rollout resume": "continue unpause",
        "rollout stop": "abort cancel end off abandon",
        "rollback": "undo",
        "history": "history",
    },
    "route": {
        "route show": "get view cat list ls",
        "route set": "add edit update create put apply replace",
        "route unset": "rm remove delete clear off",
    },
}

# By family ("" for none) and word: the command that replaces them.
COMMANDS: dict[tuple[str, str], str] = {
    ("", word): command for command, words in _OF_COMMANDS.items() for word in words.split()
} | {
    (family, word): command
    for family, commands in _OF_FAMILIES.items()
    for command, words in commands.items()
    for word in words.split()
}

_RENAMING = (
    "a prompt cannot be renamed: create the new one, point applications at it, then archive the old one with delete"
)
_LABELS = "a version has no labels; create --meta and --description describe it"
_EMPTYING = "promptctl does not empty databases; db status shows which one is used, and a new one is empty"
# By family and word without a command of ours: the reason, and what to run. {0} and {1} are the words that follow.
WITHOUT_COMMAND: dict[tuple[str, str], tuple[str, str]] = (
    {("", word): (_RENAMING, "promptctl show {0} | promptctl create {1} -f -") for word in ("rename", "mv", "move")}
    | {
        ("", word): ("a copy is a new prompt with the same text", "promptctl show {0} | promptctl create {1} -f -")
        for word in ("copy", "cp", "clone", "duplicate", "fork")
    }
    | {("", word): (_LABELS, "promptctl create --help") for word in ("tag", "label", "annotate", "alias")}
    | {("db", word): (_EMPTYING, "promptctl db status") for word in ("reset", "drop", "wipe", "delete", "destroy")}
    | {("", "reset"): ("rollback moves back, delete archives", "promptctl --help")}
    | {
        ("", word): ("rollback only moves back; to move forward, activate a version", "promptctl history {0}")
        for word in ("redo", "rollforward", "roll-forward", "forward")
    }
    | {
        ("", word): ("promptctl does not follow changes; the history lists them", "promptctl history {0}")
        for word in ("watch", "tail", "follow")
    }
)

# By option of another tool: the option that replaces it and accepts the same value. "" removes the option.
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
# Options of other tools that select a version, a prompt, or prompts by a part of their names.
VERSION_OPTIONS = ("--version", "--revision", "--rev", "--to-version", "--to-revision", "--to")
NAME_OPTIONS = ("--name", "--prompt")
PATTERN_OPTIONS = ("--filter", "--search", "--pattern", "--name", "--prompt", "--prefix")
# Nouns that other tools write before or after a verb: `get prompts`, `prompt list`.
NOUNS = ("prompt", "prompts", "version", "versions")
# Options of other tools that accept no value.
FLAGS = frozenset({
    "-j", "--as-json", "--debug", "--trace", "--silent", "-s", "-y", "--yes", "--no-input", "--non-interactive",
    "--no-interactive", "--assume-yes", "--all", "-a", "--dry-run", "--force", "--raw", "--full", "--wide", "-w",
    "--long", "-l", "--no-trunc", "--no-truncate", "--plain", "--text-only", "--content-only", "--dry", "--dryrun",
    "--check",
    "--simulate", "--what-if", "--whatif", "--preview", "--plan", "--noop", "--no-op", "--stop", "--end", "--disable",
    "--cancel", "--no-color", "--no-colour", "--daily", "--hourly",
})  # fmt: skip
