"""Every command: its function, summary and parameters, and the heading under which help lists it."""

from __future__ import annotations

from promptctl.cli import parameters as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.parameters import Parameter


class Command:
    """One command. `function` is `MODULE:FUNCTION`, with a module of `promptctl.cli.commands`."""

    __slots__ = ("_parameters", "function", "summary")

    def __init__(self, function: str, summary: str, *parameters: Parameter) -> None:
        self.function = function
        self.summary = summary
        self._parameters = parameters

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments and the options of this command, without the options that every command has.

        Those of the commands of `test` are declared in a module that no other command has to import.
        """
        if self.function.startswith("test"):
            from promptctl.cli import test_parameters

            return test_parameters.PARAMETERS[self.function]
        return self._parameters

    @property
    def arguments(self) -> list[Parameter]:
        """The arguments, in their order."""
        return [parameter for parameter in self.parameters if not parameter.spellings]

    @property
    def own_options(self) -> dict[str, Parameter]:
        """The options of this command without those that every command has, by spelling."""
        return p.by_spelling(self.parameters)

    @property
    def options(self) -> dict[str, Parameter]:
        """All options but --help, by spelling."""
        return p.by_spelling((*self.parameters, *p.SHARED))

    @property
    def has_author(self) -> bool:
        """Whether the command has --author: it may change what the history shows."""
        return p.AUTHOR in self.parameters

    def locate(self) -> tuple[str, str]:
        """Return the full name of the function's module, and the function's name."""
        module, _, function = self.function.partition(":")
        return f"promptctl.cli.commands.{module}", function


HEADINGS = (
    (
        "Show prompts",
        {
            "list": Command(
                "list_:list_prompts",
                "List prompts and their active versions.",
                p.PATTERN, p.ARCHIVED_PROMPTS, p.LIST_LIMIT, p.TABLE_FORMAT,
            ),
            "show": Command(
                "show:show",
                "Show the versions of a prompt and its active text.",
                p.REFERENCE, p.AT, p.STORED_REQUEST, p.LIMIT, p.ARCHIVED_VERSIONS, p.TABLE_FORMAT,
            ),
            "render": Command(
                "render:render",
                "Print the text of a version with values for its variables.",
                p.REFERENCE, p.VARIABLES, p.VARIABLES_FILE, p.AS_REQUEST, p.REQUEST_MESSAGE, p.UNIT,
            ),
            "diff": Command(
                "diff:diff",
                "Compare the texts and the settings of two versions.",
                p.LEFT, p.RIGHT, p.EXIT_CODE, p.TABLE_FORMAT,
            ),
            "history": Command(
                "history:history",
                "Show who changed what, when and why.",
                p.OPTIONAL_NAME, p.SINCE_CHANGE, p.LIMIT, p.GRAPH, p.TABLE_FORMAT,
            ),
            "stats": Command(
                "stats:stats",
                "Show uses, errors, tokens, times and cost of each version.",
                p.OPTIONAL_NAME, p.SINCE, p.BY, p.ALL_VERSIONS, p.WORST, p.CSV, p.STATS_FORMAT,
            ),
            "top": Command(
                "top:top",
                "Show prompts live, with their uses and errors of the last minutes.",
                p.OPTIONAL_NAMES, p.MINUTES, p.TOP_SORT, p.ONCE, p.COST, p.TABLE_FORMAT,
            ),
            "compare": Command(
                "compare:compare",
                "Show whether a version is better than another, and how sure that is.",
                p.COMPARED, p.OTHER_VERSIONS, p.BY_SHARE, p.SINCE_EPOCH, p.ALL_SPLITS, p.MARGIN, p.CHECK_WORSE,
                p.STRICT, p.HTML, p.COMPARISON_FORMAT,
            ),
            "report": Command(
                "report:report",
                "Write a page that shows what was active when, and how it did.",
                p.REPORT_NAMES, p.REPORT_HTML, p.REPORT_SINCE, p.UNTIL, p.OPEN,
            ),
        },
    ),
    (
        "Talk to Claude",
        {
            "chat": Command(
                "chat:chat",
                "Send messages to Claude with a prompt.",
                p.REFERENCE, p.MESSAGE, p.MESSAGE_FILE, p.MESSAGE_LITERAL, p.AGAINST, p.CHAT_MODEL, p.CHAT_MAX_TOKENS,
                p.VARIABLES, p.VARIABLES_FILE, p.UNIT, p.USAGE, p.THINKING, p.NO_STREAM, p.SAVE, p.CONTINUE,
                p.TIMEOUT,
            ),
            "tokens": Command(
                "tokens:tokens",
                "Show how many input tokens a version takes, and what they cost.",
                p.REFERENCE, p.SECOND_REFERENCE, p.CHAT_MODEL, p.VARIABLES, p.VARIABLES_FILE, p.UNIT, p.TIMEOUT,
                p.TABLE_FORMAT,
            ),
        },
    ),
    (
        "Test prompts",
        {
            "test": Command(
                "test:run_cases", "Run test cases with Claude, and compare a version with the active one."
            ),
            "test list": Command("test_list:list_runs", "List runs of test cases, newest first."),
            "test show": Command("test_list:show", "Show a run of test cases."),
            "test add": Command("test_add:add", "Make a test case of a saved conversation."),
            "test judge": Command("test_judge:judge", "Show how far a judge agrees with people."),
        },
    ),
    (
        "Change the active version",
        {
            "activate": Command(
                "move:activate",
                "Make a version the active one.",
                p.REFERENCES, p.ALLOW_NEW_VARIABLES, p.DRY_RUN, p.TABLE_FORMAT, *p.CHANGE,
            ),
            "deactivate": Command(
                "move:deactivate",
                "Leave a prompt without an active version.",
                p.NAMES, p.EXPECTED_VERSION, p.DRY_RUN, p.TABLE_FORMAT, *p.CHANGE,
            ),
            "rollback": Command(
                "move:rollback",
                "Activate the version that was active before.",
                p.NAMES, p.TO_VERSION, p.EXPECTED_VERSION, p.ALLOW_NEW_VARIABLES, p.DRY_RUN, p.TABLE_FORMAT,
                *p.CHANGE,
            ),
        },
    ),
    (
        "Choose the version for a request",
        {
            "split": Command(
                "split:split",
                "Serve a candidate version to a share of the units.",
                p.SPLIT_REFERENCE, p.SHARE, p.OFF, p.SEED, p.ALLOW_NEW_VARIABLES_IN_SPLIT, p.TABLE_FORMAT,
                *p.CHANGE,
            ),
            "route show": Command("route:show", "Show the route of a prompt.", p.NAME, p.TABLE_FORMAT),
            "route set": Command(
                "route:set_route", "Replace the route of a prompt.", p.NAME, p.ROUTE_FILE, p.TABLE_FORMAT, *p.CHANGE
            ),
            "route unset": Command("route:unset", "Remove the route of a prompt.", p.NAME, p.TABLE_FORMAT, *p.CHANGE),
            "resolve": Command(
                "resolve:resolve",
                "Show which version a request gets, and why.",
                p.NAME, p.RESOLVED_UNIT, p.ATTRIBUTES, p.TABLE_FORMAT,
            ),
        },
    ),
    (
        "Rollouts",
        {
            "rollout start": Command(
                "rollout:start",
                "Roll a version out in steps, with guards.",
                p.ROLLOUT_REFERENCE, p.STEPS, p.LEAST_HOLD, p.LEAST_USES, p.GUARDS, p.PATIENCE, p.IN_DOUBT,
                p.ROLLOUT_FILE, p.ALLOW_NEW_VARIABLES_IN_ROLLOUT, p.DRY_RUN, p.TABLE_FORMAT, *p.CHANGE,
            ),
            "rollout status": Command(
                "rollout:status", "Show rollouts, their steps and guards.", p.OPTIONAL_ROLLOUT_NAME, p.HTML,
                p.TABLE_FORMAT,
            ),
            "rollout tick": Command(
                "rollout:tick", "Take the next step of rollouts that are due.", p.ROLLOUT_NAMES, p.TABLE_FORMAT,
                p.AUTHOR,
            ),
            "rollout watch": Command(
                "rollout:watch", "Tick a rollout until it ends.", p.NAME, p.EVERY, p.WATCH_TIMEOUT,
                p.TABLE_FORMAT, p.AUTHOR,
            ),
            "rollout pause": Command(
                "rollout:pause", "Pause a rollout at its present share.", p.NAME, p.TABLE_FORMAT, *p.CHANGE
            ),
            "rollout resume": Command("rollout:resume", "Resume a paused rollout.", p.NAME, p.TABLE_FORMAT, *p.CHANGE),
            "rollout stop": Command(
                "rollout:stop", "Stop a rollout: all units get the active version again.", p.NAME,
                p.TABLE_FORMAT, *p.CHANGE,
            ),
        },
    ),
    (
        "Releases",
        {
            "release list": Command("release:list_releases", "List releases, newest first.", p.LIMIT, p.TABLE_FORMAT),
            "release show": Command("release:show", "Show what a release changed.", p.RELEASE, p.TABLE_FORMAT),
            "release rollback": Command(
                "release:rollback",
                "Roll back every prompt that a release moved.",
                p.RELEASE, p.SKIP_MOVED, p.ALLOW_NEW_VARIABLES, p.DRY_RUN, p.TABLE_FORMAT, *p.CHANGE,
            ),
        },
    ),
    (
        "Write prompts",
        {
            "create": Command(
                "create:create",
                "Store a text as the next version of a prompt.",
                p.NEW_NAME, p.NEW_TEXT, p.FILE, p.LITERAL, p.ACTIVATE, p.ALLOW_NEW_VARIABLES_WITH_ACTIVATE,
                p.TEMPLATE_STYLE, p.DEFAULTS, p.MODEL, p.MAX_TOKENS, p.REQUEST, p.REQUEST_SET, p.CACHE,
                p.DESCRIPTION, p.META, *p.CHANGE,
            ),
            "delete": Command(
                "delete:delete",
                "Archive versions or whole prompts.",
                p.PROMPTS_OR_VERSIONS, p.UNDO, p.DRY_RUN, *p.CHANGE,
            ),
            "erase": Command(
                "erase:erase",
                "Erase the text of a version permanently.",
                p.ERASED_VERSION, p.DRY_RUN, *p.CHANGE,
            ),
            "sync": Command(
                "sync:sync",
                "Apply a folder of prompts to the database.",
                p.FOLDER, p.PLAN_ONLY, p.CHECK, p.OFFLINE, p.BASE, p.SAVE_PLAN, p.APPLY_PLAN, p.FORMAT, p.SOURCE,
                p.TEMPLATE_DEFAULT, p.ADOPT, p.FORCE, p.ALLOW_NEW_VARIABLES, p.ALLOW_SECRETS, p.AUTHOR,
            ),
            "export": Command(
                "export:export",
                "Write prompts to a folder that sync can read.",
                p.EXPORT_FOLDER, p.ONLY, p.OVERWRITE,
            ),
        },
    ),
    (
        "Database",
        {
            "db init": Command("db_schema:init", "Create the schema in the database."),
            "db migrate": Command(
                "db_migrate:migrate",
                "Migrate the schema to the version that this promptctl needs.",
                p.MIGRATION_ONLY, p.BREAK_CLIENTS,
            ),
            "db schema": Command("db_schema:print_schema", "Print schema.sql, the schema as SQL."),
            "db status": Command(
                "db_status:status", "Show which database is used and what it contains.", p.TABLE_FORMAT
            ),
            "db maintain": Command(
                "db_maintain:maintain", "Roll up recorded uses to keep statistics fast.", p.KEEP, p.KEEP_REPLIES
            ),
            "db grant": Command("db_grant:grant", "Grant a login role access to prompts.", p.LOGIN, p.ACCESS),
            "db dump": Command("db_dump:dump", "Dump the schema and its data to a file.", p.DUMP_FILE, p.REPLACE_FILE),
            "db restore": Command(
                "db_restore:restore",
                "Restore a dump to a database without the schema.",
                p.RESTORED_FILE, p.SKIP_MISSING_ROLES,
            ),
            "db verify": Command(
                "db_verify:verify", "Check that the data in the database is consistent.", p.TABLE_FORMAT
            ),
            "db url": Command("db_url:url", "Print the URL with which another program connects.", p.URL_PASSWORD),
            "db shell": Command("db_shell:shell", "Open psql on the database.", p.SQL, p.SQL_FILE),
            "db start": Command("db_server:start", "Start the embedded server.", p.LISTEN),
            "db stop": Command("db_server:stop", "Stop the embedded server."),
        },
    ),
    (
        "Shell",
        {
            "completion": Command("completion:completion", "Print the completion script of a shell.", p.SHELL),
        },
    ),
)  # fmt: skip

# The first word of each command of two words, with the summary of its help.
FAMILIES = {
    "route": "Route requests to other prompts by their attributes.",
    "rollout": "Roll versions out in steps, with guards that roll back.",
    "release": "List and roll back releases: changes that were made in one transaction.",
    "db": "Manage the database: its schema, its server, its access.",
}

COMMANDS: dict[str, Command] = {name: command for _, commands in HEADINGS for name, command in commands.items()}

# Commands whose output a pager shows if it is longer than the terminal.
PAGED = frozenset(
    {"list", "show", "diff", "history", "stats", "compare", "release list", "release show", "test list", "test show"}
)
