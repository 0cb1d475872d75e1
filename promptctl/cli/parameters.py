"""Declarations of every argument and option: name, spellings, kind, help.

Plain data without imports, so that a command line can be read without Typer. `catalogue` lists the parameters of each
command; help, completion, corrections and the Typer commands are built from the same records.
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


def _argument(name: str, metavar: str, help: str, *, required: bool = True, several: bool = False) -> Parameter:
    kind = TEXTS if several else TEXT
    return Parameter(name, (), kind, f"{metavar}..." if several else metavar, help, is_required=required)


def _option(
    name: str, spellings: str, metavar: str, help: str, *, kind: str = TEXT, required: bool = False
) -> Parameter:
    return Parameter(name, spellings.split(" "), kind, metavar, help, is_required=required)


def _flag(name: str, spellings: str, help: str) -> Parameter:
    return Parameter(name, spellings.split(" "), FLAG, "", help, is_required=False)


# Options of every command (cli.run.Run).
DATABASE_URL = _option(
    "database_url",
    "--database-url",
    "URL",
    "Connect to this database. Default: PROMPTCTL_DATABASE_URL, DATABASE_URL, PGHOST and the like, else the embedded"
    " database.",
)
JSON = _flag("json", "--json", "Print JSON.")
QUIET = _flag("quiet", "--quiet -q", "Print references or names only.")
VERBOSE = _flag("verbose", "--verbose -v", "Log events to standard error, as text.")
LOG_FORMAT = _option(
    "log_format",
    "--log-format",
    "FORMAT",
    "Log events, as --verbose does, in this format: text, or json with one object per line.",
)
COLOR = _option(
    "color",
    "--color",
    "WHEN",
    "Use color: auto, always or never. auto uses color on a terminal and follows NO_COLOR and FORCE_COLOR.",
)
NO_PAGER = _flag("no_pager", "--no-pager", "Do not open a pager for long output.")
SHARED = (DATABASE_URL, JSON, QUIET, VERBOSE, LOG_FORMAT, COLOR, NO_PAGER)
HELP = _flag("help", "--help -h", "Show this help.")

# Prompts and versions.
NAME = _argument("name", "NAME", "Name of the prompt.")
NEW_NAME = _argument("name", "NAME", "Name of a new or existing prompt.")
OPTIONAL_NAME = _argument("name", "NAME", "Name of the prompt. Default: all prompts.", required=False)
NAMES = _argument("names", "NAME", "Names of the prompts.", several=True)
PATTERN = _argument(
    "pattern", "PATTERN", "Part of a name, or a quoted pattern with * and ?. Default: all prompts.", required=False
)
REFERENCE = _argument("reference", "NAME[@VERSION]", "Prompt or version. A bare NAME means its active version.")
REFERENCES = _argument("references_", "NAME@VERSION", "Versions to activate.", several=True)
PROMPTS_OR_VERSIONS = _argument(
    "references_", "NAME[@VERSION]", "Versions or prompts. A bare NAME means the whole prompt.", several=True
)
ERASED_VERSION = _argument("reference", "NAME@VERSION", "Version to erase.")
LEFT = _argument("left", "NAME[@A]", "Old version. Without a second argument, A is compared with the active version.")
RIGHT = _argument("right", "NAME@B", "New version.", required=False)

# Author and reason of a change.
AUTHOR = _option(
    "author", "--author", "WHO", "Author of the change. Default: PROMPTCTL_AUTHOR, Git's user.email, the system user."
)
REASON = _option("reason", "--reason -r --message -m", "TEXT", "Reason, stored in the history. Also: -m, --message.")
ALLOW_SECRETS = _flag("allow_secrets", "--allow-secrets", "Accept a text or a reason that looks like a secret.")
# Options of every command that records its author (cli.run.Run has their values).
CHANGE = (AUTHOR, REASON, ALLOW_SECRETS)
DRY_RUN = _flag("dry_run", "--dry-run", "Report what would change or be refused. Change nothing.")
ALLOW_NEW_VARIABLES = _flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Activate a version even if it needs variables that the active version does not.",
)

ALLOW_NEW_VARIABLES_WITH_ACTIVATE = _flag(
    "allow_new_variables",
    "--allow-new-variables",
    "With --activate: activate the version even if it needs variables that the active version does not.",
)
ALLOW_NEW_VARIABLES_IN_SPLIT = _flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Start the split even if the candidate needs variables that the active version does not.",
)

# create.
NEW_TEXT = _argument("text", "TEXT", "Text of the version. - reads standard input.", required=False)
FILE = _option("file", "--file -f", "FILE", "Read the text from a file. - reads standard input.")
LITERAL = _option("literal", "--text", "TEXT", "Store TEXT as it is, even if it is the name of a file.")
ACTIVATE = _flag("activate", "--activate", "Activate the version.")
TEMPLATE_STYLE = _option(
    "template", "--template", "STYLE", "Template style: braces for {x}, mustache for {{x}}, none for no variables."
)
DEFAULTS = _option("default", "--default", "NAME=TEXT", "Default value of a variable. Repeatable.", kind=TEXTS)
MODEL = _option("model", "--model", "NAME", "Model of each call with the version.")
MAX_TOKENS = _option("max_tokens", "--max-tokens", "N", "Maximum tokens of a reply.", kind=NUMBER)
REQUEST = _option(
    "request",
    "--request",
    "FILE",
    "What Claude is sent besides the text, as JSON or YAML. - reads standard input.",
)
REQUEST_SET = _option(
    "request_set",
    "--request-set",
    "KEY=VALUE",
    "Set one value in the request of --request, or else in an empty one: thinking.type=adaptive. Repeatable.",
    kind=TEXTS,
)
CACHE = _option("cache", "--cache", "5m|1h", "How long Claude caches the text before the first variable.")
DESCRIPTION = _option("description", "--description -d", "TEXT", "Short description of the version.")
META = _option(
    "meta", "--meta", "KEY=VALUE", "Metadata. A value that is valid JSON is stored as JSON. Repeatable.", kind=TEXTS
)

# list, show, history, diff.
AT = _option(
    "at",
    "--at",
    "TIME",
    "Show the version that was active at this time: RFC 3339, a local date and time, or an age such as 2h.",
)
STORED_REQUEST = _flag("request", "--request", "Print the request of the version as JSON, and not its text.")
LIMIT = _option(
    "limit", "--limit -n", "N", "Show the newest N rows. 0 shows all. Default: 20 on a terminal, else all.", kind=NUMBER
)
LIST_LIMIT = _option("limit", "--limit -n", "N", "Show the first N by name. 0 shows all. Default: 0.", kind=NUMBER)
ARCHIVED_PROMPTS = _flag("archived", "--archived", "List archived prompts instead.")
ARCHIVED_VERSIONS = _flag("archived", "--archived", "List archived versions instead.")
EXIT_CODE = _flag("exit_code", "--exit-code", "Exit with 3 if the versions differ.")

# rollback, deactivate, delete.
TO_VERSION = _option("to", "--to", "N", "Roll back to version N. If N is already active, change nothing.")
EXPECTED_VERSION = _option("expect", "--expect", "N", "Make the change only if version N is active.")
UNDO = _flag("undo", "--undo", "Restore archived versions or prompts.")

# sync and export.
FOLDER = _argument("folder", "FOLDER", "Folder of prompts. Default: prompts/.", required=False)
PLAN_ONLY = _flag("dry_run", "--dry-run", "Show the plan. Apply nothing.")
CHECK = _flag(
    "check", "--check", "Show the plan. Apply nothing. Exit with 3 if there are changes, with 5 if sync refuses them."
)
OFFLINE = _flag(
    "offline",
    "--offline",
    "With --check: use no database. Check that the folder is valid, that it has no secret, and that no version differs"
    " from Git.",
)
BASE = _option(
    "base",
    "--base",
    "COMMIT",
    "With --offline: compare versions with this commit, for example origin/main. Default: HEAD.",
)
SAVE_PLAN = _option("save_plan", "--save-plan", "FILE", "Show the plan and save it in a file. Apply nothing.")
APPLY_PLAN = _option(
    "apply_plan", "--apply-plan", "FILE", "Apply a saved plan. Refuse it if the database has changed since."
)
FORMAT = _option(
    "format", "--format", "FORMAT", "Format of the plan: text, markdown (for a comment on a pull request) or json."
)
SOURCE = _option(
    "source",
    "--source",
    "NAME",
    "Name under which sync records this folder as a source. Default: the repository and the path of the folder.",
)
TEMPLATE_DEFAULT = _option(
    "template",
    "--template",
    "STYLE",
    "Default template style, for a prompt whose prompt.yaml has no template: braces, mustache or none (no variables).",
)
ADOPT = _flag(
    "adopt",
    "--adopt",
    "In this run, allow changes of prompts of another source (otherwise conflicts), and of active versions and routes"
    " that were set by hand before the first sync (otherwise held).",
)
FORCE = _flag(
    "force",
    "--force",
    "Apply an older commit, a plan that moves more than a third of the prompts, or a folder that is a parent, a"
    " subfolder or a copy of the folder of another source.",
)
EXPORT_FOLDER = _argument("folder", "FOLDER", "Folder to write to. Default: prompts/.", required=False)
ONLY = _option("only", "--only", "PATTERN", "Export only matching prompts: part of a name, or a pattern with * and ?.")
OVERWRITE = _flag("force", "--force", "Overwrite files that differ.")

# release.
RELEASE = _argument("release", "N", "Number of the release.")
SKIP_MOVED = _flag("skip_moved", "--skip-moved", "Skip prompts that have moved since the release.")

# split, route, resolve.
SPLIT_REFERENCE = _argument("reference", "NAME[@VERSION]", "Prompt, or the candidate version of a new split.")
SHARE = _argument("share", "SHARE", "Share of the candidate, for example 10%, 0.5% or 12.25%.", required=False)
OFF = _flag("off", "--off", "End the split. Every unit then gets the active version.")
SEED = _option(
    "seed", "--seed", "TEXT", "Seed that is hashed with each unit. Default: NAME.EPOCH at the start of the split."
)
ROUTE_FILE = _option("file", "--file -f", "FILE", "Read the route from a file. - reads standard input.", required=True)
UNIT = _option("unit", "--unit", "UNIT", "Use the version that this unit gets, for example a user id.")
RESOLVED_UNIT = _option("unit", "--unit", "UNIT", "Unit of the request, for example a user id.")
ATTRIBUTES = _option(
    "attribute",
    "--attribute",
    "KEY=VALUE",
    "Attribute of the request. true, false and numbers keep their type, all else is text. Repeatable.",
    kind=TEXTS,
)

# rollout.
ROLLOUT_REFERENCE = _argument("reference", "NAME@VERSION", "Version to roll out: the candidate.")
OPTIONAL_ROLLOUT_NAME = _argument("name", "NAME", "Name of the prompt. Default: all open rollouts.", required=False)
ROLLOUT_NAMES = _argument(
    "names", "NAME", "Names of the prompts. Default: all running rollouts.", required=False, several=True
)
STEPS = _option(
    "steps", "--steps", "SHARES", "Shares of the candidate, in the order of the steps. Default: 10%,25%,50%."
)
LEAST_HOLD = _option("hold", "--hold", "AGE", "Least time in each step, for example 30m or 1d. Default: 1h.")
LEAST_USES = _option("uses", "--uses", "N", "Least uses of the candidate in each step. Default: 200.", kind=NUMBER)
GUARDS = _option(
    "guard",
    "--guard",
    "METRIC=TOLERANCE",
    "How much worse the candidate may be: errors=1pt, time=15%, cost=10%, score=0.02, also slow, first and output."
    " Repeatable. Replaces the default guards.",
    kind=TEXTS,
)
PATIENCE = _option(
    "patience", "--patience", "AGE", "Longest time in a step without a decision. Then --in-doubt applies. Default: 7d."
)
IN_DOUBT = _option(
    "in_doubt", "--in-doubt", "ACTION", "pause or rollback, when a step has lasted for --patience. Default: pause."
)
ROLLOUT_FILE = _option("file", "--file -f", "FILE", "Read the plan from a prompt.yaml. - reads standard input.")
ALLOW_NEW_VARIABLES_IN_ROLLOUT = _flag(
    "allow_new_variables",
    "--allow-new-variables",
    "Roll out the candidate even if it needs variables that the active version does not.",
)
EVERY = _option("every", "--every", "AGE", "Time between two ticks, for example 30s. Default: 30s.")
WATCH_TIMEOUT = _option("timeout", "--timeout", "AGE", "Stop watching after this time, for example 2h.")

# render and chat.
VARIABLES = _option("var", "--var", "NAME=VALUE", "Value of a variable. Repeatable.", kind=TEXTS)
VARIABLES_FILE = _option(
    "vars_file",
    "--vars-file",
    "FILE",
    "Read values of variables from a YAML or JSON file. - reads standard input. --var takes precedence.",
)
AS_REQUEST = _flag(
    "request",
    "--request",
    "Print the JSON that is sent to Claude. It has a model and max_tokens if the version sets them.",
)
REQUEST_MESSAGE = _option("message", "--message", "TEXT", "Add a message to the JSON of --request.")
MESSAGE = _argument(
    "message", "MESSAGE", "Message to send. - reads standard input. Default: start a conversation.", required=False
)
MESSAGE_FILE = _option(
    "file", "--file -f", "FILE", "Read the message from a file and append it to MESSAGE. - reads standard input."
)
MESSAGE_LITERAL = _option("text", "--text", "MESSAGE", "Send MESSAGE as it is, even if it is the name of a file.")
AGAINST = _option(
    "against", "--against", "NAME[@VERSION]", "Send the message with this version too, and show both replies."
)
CHAT_MODEL = _option("model", "--model", "MODEL", "Model. Default: the version's, else claude-sonnet-5-5.")
CHAT_MAX_TOKENS = _option(
    "max_tokens", "--max-tokens", "N", "Maximum tokens of a reply. Default: the version's, else 8192.", kind=NUMBER
)
USAGE = _flag("usage", "--usage", "Print the tokens and times of each reply.")
THINKING = _flag("thinking", "--thinking", "Show the thinking of each reply, on standard error.")
NO_STREAM = _flag("no_stream", "--no-stream", "Print each reply when it is complete.")
SAVE = _option("save", "--save", "FILE", "Save the conversation in a new file, to continue it later.")
CONTINUE = _option("continue_", "--continue", "FILE", "Continue a saved conversation, and save it in the same file.")
TIMEOUT = _option(
    "timeout", "--timeout", "SECONDS", "Stop waiting when Claude sends nothing for this long. Default: 120.",
    kind=NUMBER,
)  # fmt: skip

# tokens.
SECOND_REFERENCE = _argument(
    "other", "NAME[@VERSION]", "Second prompt or version, shown beside the first.", required=False
)

# test.
TEST_TARGETS = _argument(
    "targets", "TARGET", "NAME[@VERSION], or a folder of prompts. A bare NAME means its newest version.", several=True
)
TEST_AGAINST = _option("against", "--against", "NAME[@VERSION]", "Baseline. Default: the active version.")
TEST_CASE = _option(
    "case", "--case", "PATTERN", "Run only matching cases: part of a description, or a pattern with * and ?."
)
REPEAT = _option(
    "repeat",
    "--repeat",
    "N",
    "New replies to each case in the first stage. Default: 3, or that of the file.",
    kind=NUMBER,
)
TEST_MARGIN = _option(
    "margin", "--margin", "POINTS", "The drop of the pass rate that does not matter. Default: 5pt, or that of the file."
)
TEST_MODELS = _option(
    "model", "--model", "MODEL", "Model. Default: the version's. Repeatable: a run for each.", kind=TEXTS
)
ESTIMATE = _flag("estimate", "--estimate", "Show the calls, the tokens and the cost. Make no call but token counts.")
MAX_COST = _option("max_cost", "--max-cost", "DOLLARS", "Most that all runs may cost, in US dollars.")
REPLAY = _flag("replay", "--replay", "Use kept replies only. Make no call, and need no API key.")
BATCH = _flag("batch", "--batch", "Make the calls in batches: half the price, within a day.")
RESUME = _flag("resume", "--resume", "First take the replies that an earlier run left in batches and files.")
TEST_STRICT = _flag("strict", "--strict", "Exit with 9 if a verdict is undecided.")
ALL_CASES = _flag("all", "--all", "List the cases that are as before, too.")
TEST_FORMAT = _option(
    "format", "--format", "FORMAT", "Format of the answer: text, markdown (for a comment on a pull request) or json."
)
TEST_HTML = _option("html", "--html", "FILE", "Also write a report with the replies to a file, for a browser.")
JUNIT = _option("junit", "--junit", "FILE", "Also write the results to a file as JUnit XML.")
TEST_RUN = _argument("number", "RUN", "Number of the run.")
CONVERSATION = _option("from_", "--from", "FILE", "Saved conversation, of chat --save.", required=True)
JUDGE_NAME = _argument("name", "NAME[@VERSION]", "Prompt that is the judge, or built-in.")
LABELS = _option("labels", "--labels", "FILE", "Replies with the labels of people, YAML or JSON.", required=True)
CASE_DESCRIPTION = _option("description", "--description -d", "TEXT", "Description of the case.")
CASE_CONTAINS = _option("contains", "--contains", "TEXT", "The reply must contain TEXT. Repeatable.", kind=TEXTS)
CASE_RUBRIC = _option(
    "rubric", "--rubric", "TEXT", "A judge must find that the reply meets TEXT. Repeatable.", kind=TEXTS
)
CASE_FOLDER = _option("folder", "--folder", "FOLDER", "Folder of prompts. Default: prompts/.")

# stats.
SINCE = _option(
    "since", "--since", "TIME", "Include uses from this time on: RFC 3339, a local date and time, or an age such as 7d."
)
BY = _option("by", "--by", "KEYS", "Group by version, day, hour or model, or by several, for example day,version.")
ALL_VERSIONS = _flag("all", "--all", "Include versions that were never used.")
CSV = _flag("csv", "--csv", "Print CSV with a header.")

# compare.
COMPARED = _argument("reference", "NAME[@A]", "Prompt, or prompt and version A.")
OTHER_VERSIONS = _argument(
    "versions", "@VERSION", "Version B, or versions A and B after a bare NAME. NAME@VERSION is accepted too.",
    required=False, several=True,
)  # fmt: skip
BY_SHARE = _option("by", "--by", "share", "Also show the differences at each share of the split.")
SINCE_EPOCH = _option(
    "since",
    "--since",
    "TIME",
    "Include the shares that were served after this time: RFC 3339, a local date and time, or an age such as 7d.",
)
ALL_SPLITS = _flag("all", "--all", "Include every split of the two versions, not only the last.")
MARGIN = _option(
    "margin",
    "--margin",
    "METRIC=MARGIN",
    "How large a difference must be to matter, for example errors=0.5pt, time=15% or score=0.05. Repeatable.",
    kind=TEXTS,
)
CHECK_WORSE = _flag("check", "--check", "Exit with 3 if version B is worse in any metric, else with 0.")
STRICT = _flag("strict", "--strict", "With --check: exit with 9 if it is not decided for every metric with values.")
HTML = _option("html", "--html", "FILE", "Also write a report with charts to a file, for a browser.")
COMPARISON_FORMAT = _option(
    "format", "--format", "FORMAT", "Format of the answer: text, markdown (for a comment on a pull request) or json."
)

# db and completion.
MIGRATION_ONLY = _flag(
    "dry_run", "--dry-run", "Print the SQL of the migrations, and which tables they lock or rewrite. Change nothing."
)
BREAK_CLIENTS = _flag("force", "--force", "Migrate even if connected clients cannot work with the new schema.")
KEEP = _option(
    "keep", "--keep", "AGE", "Delete single uses that are older than this, for example 30d. Default: keep all."
)
KEEP_REPLIES = _option(
    "keep_replies", "--keep-replies", "AGE", "Delete replies of tests that are older than this. Default: keep all."
)
LOGIN = _argument("login", "LOGIN", "Existing login role.")
ACCESS = _option(
    "access",
    "--as",
    "ACCESS",
    "viewer (reads all but the replies of tests), reviewer (reads all), application (resolves and records uses), "
    "ticker (reads as viewer and ticks rollouts) or operator (changes prompts).",
    required=True,
)
SQL = _option("command", "--command -c", "SQL", "Run this SQL. Do not prompt for statements.")
SQL_FILE = _option("file", "--file -f", "FILE", "Run the statements of a file. - reads standard input.")
DUMP_FILE = _argument("file", "FILE", "File to write. - writes to standard output.")
REPLACE_FILE = _flag("force", "--force", "Replace FILE if it exists.")
RESTORED_FILE = _argument("file", "FILE", "Dump to restore. - reads standard input.")
SKIP_MISSING_ROLES = _flag(
    "skip_missing_roles", "--skip-missing-roles", "Leave out the grants to roles that do not exist."
)
LISTEN = _option(
    "listen",
    "--listen",
    "ADDRESS:PORT",
    "TCP address too: 127.0.0.1:PORT, [::1]:PORT or localhost:PORT. off: socket only.",
)
URL_PASSWORD = _flag("password", "--password", "Print the password of the embedded server's TCP port in the URL.")
SHELL = _argument("shell", "SHELL", "bash, zsh or fish.")
