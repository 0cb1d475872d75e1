"""Declarations of every argument and option: name, spellings, kind, help.

Plain data without imports, so that a command line can be read without Typer. `catalogue` lists the parameters of each
command; help, completion, corrections and the Typer commands are built from the same records. Those of the commands of
`test` are in `test_parameters`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Kinds of parameters: an option without a value, one text, several texts, a whole number.
FLAG, TEXT, TEXTS, NUMBER = "flag", "text", "texts", "number"


class Parameter:
    """One argument or option of a command.

    `name` is the name of the parameter in the command's function. `spellings` are the words of an option, and empty for
    an argument. `metavar` represents the value in the help.
    """

    __slots__ = ("help", "is_required", "kind", "metavar", "name", "spellings")

    def __init__(
        self, name: str, spellings: Sequence[str], kind: str, metavar: str, help: str, *, is_required: bool
    ) -> None:
        self.name = name
        self.spellings = spellings
        self.kind = kind
        self.metavar = metavar
        self.help = help
        self.is_required = is_required

    @property
    def default(self) -> bool | None:
        """The value of a parameter that is not on the command line."""
        return False if self.kind == FLAG else None

    @property
    def usage(self) -> str:
        """How the parameter is written, for example `NAME@VERSION` or `-r, --reason TEXT`."""
        if not self.spellings:
            return self.metavar
        # One short and one long spelling. If an option has more, its help text lists them.
        short = [spelling for spelling in self.spellings if not spelling.startswith("--")][:1]
        long = [spelling for spelling in self.spellings if spelling.startswith("--")][:1]
        spelled = ", ".join([*short, *long])
        return spelled if self.kind == FLAG else f"{spelled} {self.metavar}"


def by_spelling(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """Return the options among the parameters, each under all of its spellings."""
    return {spelling: parameter for parameter in parameters for spelling in parameter.spellings}


def argument(name: str, metavar: str, help: str, *, required: bool = True, several: bool = False) -> Parameter:
    """Return an argument; with `several`, one that takes one or more words."""
    kind = TEXTS if several else TEXT
    return Parameter(name, (), kind, f"{metavar}..." if several else metavar, help, is_required=required)


def option(
    name: str, spellings: str, metavar: str, help: str, *, kind: str = TEXT, required: bool = False
) -> Parameter:
    """Return an option with a value. `spellings` are separated by blanks."""
    return Parameter(name, spellings.split(" "), kind, metavar, help, is_required=required)


def flag(name: str, spellings: str, help: str) -> Parameter:
    """Return an option without a value. `spellings` are separated by blanks."""
    return Parameter(name, spellings.split(" "), FLAG, "", help, is_required=False)


# Options of every command (cli.run.Run).
DATABASE_URL = option(
    "database_url",
    "--database-url",
    "URL",
    "Connect to this database. Default: PROMPTCTL_DATABASE_URL, DATABASE_URL, PGHOST and the like, else the embedded"
    " database.",
)
JSON = flag("json", "--json", "Print JSON.")
QUIET = flag("quiet", "--quiet -q", "Print references or names only.")
VERBOSE = flag("verbose", "--verbose -v", "Log events to standard error, as text.")
LOG_FORMAT = option(
    "log_format",
    "--log-format",
    "FORMAT",
    "Log events, as --verbose does, in this format: text, or json with one object per line.",
)
COLOR = option(
    "color",
    "--color",
    "WHEN",
    "Use color: auto, always or never. auto uses color on a terminal and follows NO_COLOR and FORCE_COLOR.",
)
NO_PAGER = flag("no_pager", "--no-pager", "Do not open a pager for long output.")
SHARED = (DATABASE_URL, JSON, QUIET, VERBOSE, LOG_FORMAT, COLOR, NO_PAGER)
HELP = flag("help", "--help -h", "Show this help.")

# Prompts and versions.
NAME = argument("name", "NAME", "Name of the prompt.")
NEW_NAME = argument("name", "NAME", "Name of a new or existing prompt.")
OPTIONAL_NAME = argument("name", "NAME", "Name of the prompt. Default: all prompts.", required=False)
NAMES = argument("names", "NAME", "Names of the prompts.", several=True)
PATTERN = argument(
    "pattern", "PATTERN", "Part of a name, or a quoted pattern with * and ?. Default: all prompts.", required=False
)
REFERENCE = argument("reference", "NAME[@VERSION]", "Prompt or version. A bare NAME means its active version.")
REFERENCES = argument("references_", "NAME@VERSION", "Versions to activate.", several=True)
PROMPTS_OR_VERSIONS = argument(
    "references_", "NAME[@VERSION]", "Versions or prompts. A bare NAME means the whole prompt.", several=True
)
ERASED_VERSION = argument("reference", "NAME@VERSION", "Version to erase.")
LEFT = argument("left", "NAME[@A]", "Old version. Without a second argument, A is compared with the active version.")
RIGHT = argument("right", "NAME@B", "New version.", required=False)

# Author and reason of a change.
AUTHOR = option(
    "author", "--author", "WHO", "Author of the change. Default: PROMPTCTL_AUTHOR, Git's user.email, the system user."
)
REASON = option("reason", "--reason -r --message -m", "TEXT", "Reason, stored in the history. Also: -m, --message.")
ALLOW_SECRETS = flag("allow_secrets", "--allow-secrets", "Accept a text or a reason that looks like a secret.")
# Options of every command that records its author (cli.run.Run has their values).
CHANGE = (AUTHOR, REASON, ALLOW_SECRETS)
# An option of every command that shows a table (cli.run.Run has its value).
TABLE_FORMAT = option(
    "table_format", "--format", "FORMAT", "Format of the answer: text, markdown (for a ticket or a chat) or json."
)
# The parameters whose values cli.run.Run has, and not the function of the command.
OF_RUN = (*SHARED, *CHANGE, TABLE_FORMAT)
DRY_RUN = flag("dry_run", "--dry-run", "Report what would change or be refused. Change nothing.")
ALLOW_NEW_VARIABLES = flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Activate a version even if it needs variables that the active version does not.",
)

ALLOW_NEW_VARIABLES_WITH_ACTIVATE = flag(
    "allow_new_variables",
    "--allow-new-variables",
    "With --activate: activate the version even if it needs variables that the active version does not.",
)
ALLOW_NEW_VARIABLES_IN_SPLIT = flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Start the split even if the candidate needs variables that the active version does not.",
)

# create.
NEW_TEXT = argument("text", "TEXT", "Text of the version. - reads standard input.", required=False)
FILE = option("file", "--file -f", "FILE", "Read the text from a file. - reads standard input.")
LITERAL = option("literal", "--text", "TEXT", "Store TEXT as it is, even if it is the name of a file.")
ACTIVATE = flag("activate", "--activate", "Activate the version.")
TEMPLATE_STYLE = option(
    "template", "--template", "STYLE", "Template style: braces for {x}, mustache for {{x}}, none for no variables."
)
DEFAULTS = option("default", "--default", "NAME=TEXT", "Default value of a variable. Repeatable.", kind=TEXTS)
MODEL = option("model", "--model", "NAME", "Model of each call with the version.")
MAX_TOKENS = option("max_tokens", "--max-tokens", "N", "Maximum tokens of a reply.", kind=NUMBER)
REQUEST = option(
    "request",
    "--request",
    "FILE",
    "What Claude is sent besides the text, as JSON or YAML. - reads standard input.",
)
REQUEST_SET = option(
    "request_set",
    "--request-set",
    "KEY=VALUE",
    "Set one value in the request of --request, or else in an empty one: thinking.type=adaptive. Repeatable.",
    kind=TEXTS,
)
CACHE = option("cache", "--cache", "5m|1h", "How long Claude caches the text before the first variable.")
DESCRIPTION = option("description", "--description -d", "TEXT", "Short description of the version.")
META = option(
    "meta", "--meta", "KEY=VALUE", "Metadata. A value that is valid JSON is stored as JSON. Repeatable.", kind=TEXTS
)

# list, show, history, diff.
AT = option(
    "at",
    "--at",
    "TIME",
    "Show the version that was active at this time: RFC 3339, a local date and time, or an age such as 2h.",
)
STORED_REQUEST = flag("request", "--request", "Print the request of the version as JSON, and not its text.")
LIMIT = option(
    "limit", "--limit -n", "N", "Show the newest N rows. 0 shows all. Default: 20 on a terminal, else all.", kind=NUMBER
)
GRAPH = flag(
    "graph",
    "--graph",
    "Draw above the changes which versions were served over time. In a pipe, print only the graph. It begins with the"
    " first change, or at --since.",
)
SINCE_CHANGE = option(
    "since", "--since", "TIME", "Leave out earlier changes: RFC 3339, a local date and time, or an age such as 7d."
)
LIST_LIMIT = option("limit", "--limit -n", "N", "Show the first N by name. 0 shows all. Default: 0.", kind=NUMBER)
ARCHIVED_PROMPTS = flag("archived", "--archived", "List archived prompts instead.")
ARCHIVED_VERSIONS = flag("archived", "--archived", "List archived versions instead.")
EXIT_CODE = flag("exit_code", "--exit-code", "Exit with 3 if the versions differ.")

# rollback, deactivate, delete.
TO_VERSION = option("to", "--to", "N", "Roll back to version N. If N is already active, change nothing.")
EXPECTED_VERSION = option("expect", "--expect", "N", "Make the change only if version N is active.")
UNDO = flag("undo", "--undo", "Restore archived versions or prompts.")

# sync and export.
FOLDER = argument("folder", "FOLDER", "Folder of prompts. Default: prompts/.", required=False)
PLAN_ONLY = flag("dry_run", "--dry-run", "Show the plan. Apply nothing.")
CHECK = flag(
    "check", "--check", "Show the plan. Apply nothing. Exit with 3 if there are changes, with 5 if sync refuses them."
)
OFFLINE = flag(
    "offline",
    "--offline",
    "With --check: use no database. Check that the folder is valid, that it has no secret, and that no version differs"
    " from Git.",
)
BASE = option(
    "base",
    "--base",
    "COMMIT",
    "With --offline: compare versions with this commit, for example origin/main. Default: HEAD.",
)
SAVE_PLAN = option("save_plan", "--save-plan", "FILE", "Show the plan and save it in a file. Apply nothing.")
APPLY_PLAN = option(
    "apply_plan", "--apply-plan", "FILE", "Apply a saved plan. Refuse it if the database has changed since."
)
FORMAT = option(
    "format", "--format", "FORMAT", "Format of the plan: text, markdown (for a comment on a pull request) or json."
)
SOURCE = option(
    "source",
    "--source",
    "NAME",
    "Name under which sync records this folder as a source. Default: the repository and the path of the folder.",
)
TEMPLATE_DEFAULT = option(
    "template",
    "--template",
    "STYLE",
    "Default template style, for a prompt whose prompt.yaml has no template: braces, mustache or none (no variables).",
)
ADOPT = flag(
    "adopt",
    "--adopt",
    "In this run, allow changes of prompts of another source (otherwise conflicts), and of active versions and routes"
    " that were set by hand before the first sync (otherwise held).",
)
FORCE = flag(
    "force",
    "--force",
    "Apply an older commit, a plan that moves more than a third of the prompts, or a folder that is a parent, a"
    " subfolder or a copy of the folder of another source.",
)
EXPORT_FOLDER = argument("folder", "FOLDER", "Folder to write to. Default: prompts/.", required=False)
ONLY = option("only", "--only", "PATTERN", "Export only matching prompts: part of a name, or a pattern with * and ?.")
OVERWRITE = flag("force", "--force", "Overwrite files that differ.")

# release.
RELEASE = argument("release", "N", "Number of the release.")
SKIP_MOVED = flag("skip_moved", "--skip-moved", "Skip prompts that have moved since the release.")

# split, route, resolve.
SPLIT_REFERENCE = argument("reference", "NAME[@VERSION]", "Prompt, or the candidate version of a new split.")
SHARE = argument("share", "SHARE", "Share of the candidate, for example 10%, 0.5% or 12.25%.", required=False)
OFF = flag("off", "--off", "End the split. Every unit then gets the active version.")
SEED = option(
    "seed", "--seed", "TEXT", "Seed that is hashed with each unit. Default: NAME.EPOCH at the start of the split."
)
ROUTE_FILE = option("file", "--file -f", "FILE", "Read the route from a file. - reads standard input.", required=True)
UNIT = option("unit", "--unit", "UNIT", "Use the version that this unit gets, for example a user id.")
RESOLVED_UNIT = option("unit", "--unit", "UNIT", "Unit of the request, for example a user id.")
ATTRIBUTES = option(
    "attribute",
    "--attribute",
    "KEY=VALUE",
    "Attribute of the request. true, false and numbers keep their type, all else is text. Repeatable.",
    kind=TEXTS,
)

# rollout.
ROLLOUT_REFERENCE = argument("reference", "NAME@VERSION", "Version to roll out: the candidate.")
OPTIONAL_ROLLOUT_NAME = argument("name", "NAME", "Name of the prompt. Default: all open rollouts.", required=False)
ROLLOUT_NAMES = argument(
    "names", "NAME", "Names of the prompts. Default: all running rollouts.", required=False, several=True
)
STEPS = option(
    "steps", "--steps", "SHARES", "Shares of the candidate, in the order of the steps. Default: 10%,25%,50%."
)
LEAST_HOLD = option("hold", "--hold", "AGE", "Least time in each step, for example 30m or 1d. Default: 1h.")
LEAST_USES = option("uses", "--uses", "N", "Least uses of the candidate in each step. Default: 200.", kind=NUMBER)
GUARDS = option(
    "guard",
    "--guard",
    "METRIC=TOLERANCE",
    "How much worse the candidate may be: errors=1pt, time=15%, cost=10%, score=0.02, also slow, first and output."
    " Repeatable. Replaces the default guards.",
    kind=TEXTS,
)
PATIENCE = option(
    "patience", "--patience", "AGE", "Longest time in a step without a decision. Then --in-doubt applies. Default: 7d."
)
IN_DOUBT = option(
    "in_doubt", "--in-doubt", "ACTION", "pause or rollback, when a step has lasted for --patience. Default: pause."
)
ROLLOUT_FILE = option("file", "--file -f", "FILE", "Read the plan from a prompt.yaml. - reads standard input.")
ALLOW_NEW_VARIABLES_IN_ROLLOUT = flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Roll out the candidate even if it needs variables that the active version does not.",
)
EVERY = option("every", "--every", "AGE", "Time between two ticks, for example 30s. Default: 30s.")
WATCH_TIMEOUT = option("timeout", "--timeout", "AGE", "Stop watching after this time, for example 2h.")

# render and chat.
VARIABLES = option("var", "--var", "NAME=VALUE", "Value of a variable. Repeatable.", kind=TEXTS)
VARIABLES_FILE = option(
    "vars_file",
    "--vars-file",
    "FILE",
    "Read values of variables from a YAML or JSON file. - reads standard input. --var takes precedence.",
)
AS_REQUEST = flag(
    "request",
    "--request",
    "Print the JSON that is sent to Claude. It has a model and max_tokens if the version sets them.",
)
REQUEST_MESSAGE = option("message", "--message", "TEXT", "Add a message to the JSON of --request.")
MESSAGE = argument(
    "message", "MESSAGE", "Message to send. - reads standard input. Default: start a conversation.", required=False
)
MESSAGE_FILE = option(
    "file", "--file -f", "FILE", "Read the message from a file and append it to MESSAGE. - reads standard input."
)
MESSAGE_LITERAL = option("text", "--text", "MESSAGE", "Send MESSAGE as it is, even if it is the name of a file.")
AGAINST = option(
    "against", "--against", "NAME[@VERSION]", "Send the message with this version too, and show both replies."
)
CHAT_MODEL = option("model", "--model", "MODEL", "Model. Default: the version's, else claude-sonnet-5-5.")
CHAT_MAX_TOKENS = option(
    "max_tokens", "--max-tokens", "N", "Maximum tokens of a reply. Default: the version's, else 8192.", kind=NUMBER
)
USAGE = flag("usage", "--usage", "Print the tokens and times of each reply.")
THINKING = flag("thinking", "--thinking", "Show the thinking of each reply, on standard error.")
NO_STREAM = flag("no_stream", "--no-stream", "Print each reply when it is complete.")
SAVE = option("save", "--save", "FILE", "Save the conversation in a new file, to continue it later.")
CONTINUE = option("continue_", "--continue", "FILE", "Continue a saved conversation, and save it in the same file.")
TIMEOUT = option(
    "timeout", "--timeout", "SECONDS", "Stop waiting when Claude sends nothing for this long. Default: 120.",
    kind=NUMBER,
)  # fmt: skip

# tokens.
SECOND_REFERENCE = argument(
    "other", "NAME[@VERSION]", "Second prompt or version, shown beside the first.", required=False
)

# stats.
SINCE = option(
    "since", "--since", "TIME", "Include uses from this time on: RFC 3339, a local date and time, or an age such as 7d."
)
BY = option("by", "--by", "KEYS", "Group by version, day, hour or model, or by several, for example day,version.")
ALL_VERSIONS = flag("all", "--all", "Include versions that were never used.")
WORST = option(
    "worst", "--worst", "N",
    "List single uses: the newest N that failed, and the slowest N others, 1 to 1000, with their traces.", kind=NUMBER,
)  # fmt: skip
CSV = flag("csv", "--csv", "Print CSV with a header.")
STATS_FORMAT = option(
    "format",
    "--format",
    "FORMAT",
    "Format of the answer: text, markdown (for a ticket or a chat), csv, json or prometheus (metrics of all time).",
)

# top.
OPTIONAL_NAMES = argument("names", "NAME", "Prompts to show. Default: all.", required=False, several=True)
MINUTES = option(
    "minutes", "--minutes", "N", "Include the uses of the last N minutes, 1 to 60. Default: 5.", kind=NUMBER
)
TOP_SORT = option(
    "sort", "--sort", "KEY", "Sort by uses, errors, p95, cost, moved or name at the start. Default: uses."
)
ONCE = flag("once", "--once", "Print the table once and end.")
COST = flag("cost", "--cost", "With --once: include the costs.")

# compare.
COMPARED = argument("reference", "NAME[@A]", "Prompt, or prompt and version A.")
OTHER_VERSIONS = argument(
    "versions", "@VERSION", "Version B, or versions A and B after a bare NAME. NAME@VERSION is accepted too.",
    required=False, several=True,
)  # fmt: skip
BY_SHARE = option("by", "--by", "share", "Also show the differences at each share of the split.")
SINCE_EPOCH = option(
    "since",
    "--since",
    "TIME",
    "Include the shares that were served after this time: RFC 3339, a local date and time, or an age such as 7d.",
)
ALL_SPLITS = flag("all", "--all", "Include every split of the two versions, not only the last.")
MARGIN = option(
    "margin",
    "--margin",
    "METRIC=MARGIN",
    "How large a difference must be to matter, for example errors=0.5pt, time=15% or score=0.05. Repeatable.",
    kind=TEXTS,
)
CHECK_WORSE = flag("check", "--check", "Exit with 3 if version B is worse in any metric, else with 0.")
STRICT = flag("strict", "--strict", "With --check: exit with 9 if it is not decided for every metric with values.")
HTML = option("html", "--html", "FILE", "Also write a report with charts to a file, for a browser.")
COMPARISON_FORMAT = option(
    "format", "--format", "FORMAT", "Format of the answer: text, markdown (for a comment on a pull request) or json."
)

# report.
REPORT_NAMES = argument("names", "NAME", "Names of the prompts. Default: all prompts.", required=False, several=True)
REPORT_HTML = option("html", "--html", "FILE", "File to write, for a browser. - writes to standard output. Required.")
REPORT_SINCE = option(
    "since",
    "--since",
    "TIME",
    "Begin of the report: an age such as 7d, which counts back from --until, a local date, or RFC 3339. Default: 30d.",
)
UNTIL = option("until", "--until", "TIME", "End of the report, for a period in the past. Default: now.")
OPEN = flag("open", "--open", "Open FILE in the browser.")

# db and completion.
MIGRATION_ONLY = flag(
    "dry_run", "--dry-run", "Print the SQL of the migrations, and which tables they lock or rewrite. Change nothing."
)
BREAK_CLIENTS = flag("force", "--force", "Migrate even if connected clients cannot work with the new schema.")
KEEP = option(
    "keep", "--keep", "AGE", "Delete single uses that are older than this, for example 30d. Default: keep all."
)
KEEP_REPLIES = option(
    "keep_replies", "--keep-replies", "AGE", "Delete replies of tests that are older than this. Default: keep all."
)
LOGIN = argument("login", "LOGIN", "Existing login role.")
ACCESS = option(
    "access",
    "--as",
    "ACCESS",
    "viewer (reads all but the replies of tests), reviewer (reads all), application (resolves and records uses), "
    "ticker (reads as viewer and ticks rollouts) or operator (changes prompts).",
    required=True,
)
SQL = option("command", "--command -c", "SQL", "Run this SQL. Do not prompt for statements.")
SQL_FILE = option("file", "--file -f", "FILE", "Run the statements of a file. - reads standard input.")
DUMP_FILE = argument("file", "FILE", "File to write. - writes to standard output.")
REPLACE_FILE = flag("force", "--force", "Replace FILE if it exists.")
RESTORED_FILE = argument("file", "FILE", "Dump to restore. - reads standard input.")
SKIP_MISSING_ROLES = flag(
    "skip_missing_roles", "--skip-missing-roles", "Leave out the grants to roles that do not exist."
)
LISTEN = option(
    "listen",
    "--listen",
    "ADDRESS:PORT",
    "TCP address too: 127.0.0.1:PORT, [::1]:PORT or localhost:PORT. off: socket only.",
)
URL_PASSWORD = flag("password", "--password", "Print the password of the embedded server's TCP port in the URL.")
SHELL = argument("shell", "SHELL", "bash, zsh or fish.")
