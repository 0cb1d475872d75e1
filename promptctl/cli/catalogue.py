"""Which commands there are, where each lives, and under which heading help lists it."""

from __future__ import annotations

HEADINGS = (
    (
        "See what is live",
        {
            "list": "list_:list_prompts",
            "show": "show:show",
            "render": "render:render",
            "diff": "diff:diff",
            "history": "history:history",
            "stats": "stats:stats",
        },
    ),
    (
        "Talk to Claude",
        {
            "chat": "chat:chat",
        },
    ),
    (
        "Change what is live",
        {
            "activate": "activate:activate",
            "deactivate": "deactivate:deactivate",
            "rollback": "rollback:rollback",
        },
    ),
    (
        "For some users",
        {
            "split": "split:split",
            "route show": "route:show",
            "route set": "route:set_route",
            "route unset": "route:unset",
            "resolve": "resolve:resolve",
        },
    ),
    (
        "Several at once",
        {
            "release list": "release:list_releases",
            "release show": "release:show",
            "release rollback": "release:rollback",
        },
    ),
    (
        "Write prompts",
        {
            "create": "create:create",
            "delete": "delete:delete",
            "erase": "erase:erase",
            "sync": "sync:sync",
            "export": "export:export",
        },
    ),
    (
        "The database",
        {
            "db init": "db_schema:init",
            "db migrate": "db_schema:migrate",
            "db schema": "db_schema:print_schema",
            "db status": "db_status:status",
            "db maintain": "db_maintain:maintain",
            "db grant": "db_grant:grant",
            "db shell": "db_shell:shell",
            "db start": "db_server:start",
            "db stop": "db_server:stop",
        },
    ),
    (
        "This program",
        {
            "completion": "completion:completion",
        },
    ),
)

FAMILIES = {
    "route": "Routes: other prompts for other users, by what is known of them.",
    "release": "Releases: what was changed in one transaction, and putting it back.",
    "db": "The database: its schema, its server, who may do what.",
}

COMMANDS: dict[str, str] = {name: place for _, commands in HEADINGS for name, place in commands.items()}

# Whose answers a pager shows where they are longer than the terminal.
PAGED = frozenset({"list", "show", "diff", "history", "stats", "release list", "release show"})


def locate(place: str) -> tuple[str, str]:
    """Return the module and the function of a command."""
    module, _, function = place.partition(":")
    return f"promptctl.cli.commands.{module}", function
