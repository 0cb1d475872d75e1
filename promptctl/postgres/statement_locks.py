"""Which tables a statement of a migration locks, reads and rewrites, from the statement's text and the catalog.

The tests run each statement of each migration, and compare the result with the locks that the server took.
"""

from __future__ import annotations

import re

from promptctl.postgres import sql_statements
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from re import Match

# PostgreSQL's lock modes, from the weakest to the strongest.
MODES = (
    "access share", "row share", "row exclusive", "share update exclusive", "share", "share row exclusive", "exclusive",
    "access exclusive",
)  # fmt: skip
READS, REWRITES, CHANGES_ROWS = "reads the table", "rewrites the table", "changes rows"
# The mode of a statement that is not analysed. It may be any, so it ranks as the strongest.
UNKNOWN = "unknown"
_NAME = r"((?:\w+\.)?\w+)"
# Functions that return the same value throughout a transaction, so a column with such a default is added without a
# rewrite.
_STABLE_DEFAULT = re.compile(r"\b(?:now|transaction_timestamp)\(\)")
# Statements that lock no table against readers or writers. A comment takes a lock that only other changes of the schema
# wait for.
_LOCKS_NOTHING = re.compile(
    r"begin\b|commit\b|set\b|select\b|comment on\b|grant\b|revoke\b|create (?:or replace )?function\b|create type\b"
    r"|alter type \S+ rename\b|alter function\b|drop function\b|alter index \S+ rename to\b"
)
# In the body of a DO block: a loop over a list of texts, and a statement with a text of that list in it.
_LOOP = re.compile(r"\bforeach\s+(\w+)\s+in\s+array\s+array\s*\[(.*?)\]", re.IGNORECASE | re.DOTALL)
_DYNAMIC = re.compile(r"\bexecute\s+format\(\s*'((?:[^']|'')*)'\s*,\s*([\w.]+)", re.IGNORECASE)


class Effect(Record):
    """What a statement does to one table: the mode of its lock, and any of READS, REWRITES and CHANGES_ROWS.

    `table` is an empty text if the statement is not analysed.
    """

    table: str
    mode: str
    works: tuple[str, ...]

    @property
    def who_waits(self) -> str:
        """Whose statements wait while the lock is held: `reads and writes`, `writes`, or an empty text.

        While the mode is unknown, both may wait.
        """
        if self.mode in ("access exclusive", UNKNOWN):
            return "reads and writes"
        return "writes" if self.mode in ("share", "share row exclusive", "exclusive") else ""


class Catalog:
    """What the analysis knows of a schema. Each statement that it analyses changes it.

    `columns` are the types by table and column, as format_type writes them. `checks` are the columns of each check
    constraint, by table and name.
    """

    def __init__(
        self, columns: Mapping[tuple[str, str], str], checks: Mapping[tuple[str, str], frozenset[str]]
    ) -> None:
        self._columns = dict(columns)
        self._checks = dict(checks)
        # Of the domains that the migration makes: what each is based on, and those with a constraint.
        self._bases: dict[str, str] = {}
        self._constrained: set[str] = set()
        # The tables that the migration makes. No other session sees them before its end.
        self._new_tables: set[str] = set()

    def effects(self, statement: str) -> list[Effect]:
        """Return what one statement does, by table. Tables that the migration makes are left out."""
        sql = sql_statements.without_comments(statement).rstrip("; \n")
        return combined(effect for effect in self._effects(sql) if effect.table not in self._new_tables)

    def _effects(self, sql: str) -> Iterator[Effect]:
        # The groups of each pattern are what its function reads.
        rules: list[tuple[str, Callable[[Match[str]], Iterable[Effect]]]] = [
            (r"do \$(?:\w*)\$(.*)\$\w*\$", self._in_block),
            (r"lock table\s+(.*)\s+in\s+([\w\s]+?)\s+mode", self._lock),
            (rf"alter table (?:only )?{_NAME}\s+(.*)", self._alter_table),
            (rf"create domain {_NAME} as ([\w. ]+?)(\s+(?:constraint|check)\b.*)?$", self._create_domain),
            (rf"alter domain {_NAME}\s+((?:add|validate) constraint .*)", self._constrain_domain),
            (rf"create (?:or replace )?view {_NAME}", self._replace_view),
            (rf"create table {_NAME} as\s+(.*)", self._create_table_as),
            (rf"create table {_NAME} \((.*)\)", self._create_table),
            (rf"drop table {_NAME}$", _locking("access exclusive")),
            (rf"create (?:or replace )?rule \w+ as on \w+ to {_NAME}", _locking("access exclusive")),
            (rf"create (?:unique )?index \w+ on {_NAME}", _locking("share", READS)),
            (rf"create (?:or replace |constraint )?trigger .*? on {_NAME}", _locking("share row exclusive")),
            (rf"alter trigger \w+ on {_NAME}\s+rename", _locking("access exclusive")),
            (rf"(?:update|delete from|insert into) {_NAME}", _locking("row exclusive", CHANGES_ROWS)),
        ]
        for pattern, analyse in rules:
            if match := re.match(pattern, sql, re.IGNORECASE | re.DOTALL):
                yield from analyse(match)
                return
        if not _LOCKS_NOTHING.match(sql.lower()):
            yield Effect("", UNKNOWN, ())

    def _in_block(self, match: Match[str]) -> Iterator[Effect]:
        """Analyse the statements in the body of a DO block."""
        starts = r"\b(?:lock table|alter (?:table|domain)|update|delete from|insert into)\s"
        loops = {loop[1]: re.findall(r"'([^']*)'", loop[2]) for loop in _LOOP.finditer(match[1])}
        for part in sql_statements.split(match[1]):
            if dynamic := _DYNAMIC.search(part):
                for name in loops.get(dynamic[2], ["%I"]):
                    # A name that is not in the text of the migration leaves its % in the statement.
                    for effect in self._effects(dynamic[1].replace("%I", name)):
                        yield Effect("", UNKNOWN, ()) if "%" in effect.table else effect
            elif inner := re.search(starts, sql_statements.without_comments(part), re.IGNORECASE):
                yield from self._effects(sql_statements.without_comments(part)[inner.start() :].rstrip("; \n"))

    def _lock(self, match: Match[str]) -> Iterator[Effect]:
        for table in sql_statements.split_list(match[1]):
            yield Effect(table, " ".join(match[2].lower().split()), ())

    def _alter_table(self, match: Match[str]) -> Iterator[Effect]:
        table = match[1]
        for action in sql_statements.split_list(match[2]):
            yield from self._alter_action(table, " ".join(action.split()))

    def _alter_action(self, table: str, action: str) -> Iterator[Effect]:
        words = action.split()
        verb = " ".join(words[:2]).lower()
        mode, works = "access exclusive", ()
        if verb == "rename constraint":
            self._checks[table, words[4]] = self._checks.pop((table, words[2]), frozenset())
        elif verb == "rename column":
            self._columns[table, words[4]] = self._columns.pop((table, words[2]), "")
        elif verb == "add column":
            works = self._adding_column(action)
            self._columns[table, words[2]] = words[3]
        elif verb == "alter column" and words[3].lower() == "type":
            works = self._changing_type(table, words[2], words[4])
            self._columns[table, words[2]] = words[4]
        elif verb == "alter column" and [word.lower() for word in words[3:5]] == ["set", "not"]:
            works = (READS,)
        elif verb == "add constraint":
            yield from self._adding_constraint(table, words[2], action)
            return
        elif verb == "validate constraint":
            mode, works = "share update exclusive", (READS,)
        elif verb == "drop constraint":
            self._checks.pop((table, words[2]), None)
        elif verb in ("disable trigger", "enable trigger"):
            mode = "share row exclusive"
        elif verb not in ("alter column", "drop column"):
            mode = UNKNOWN
        yield Effect(table, mode, works)

    def _adding_column(self, action: str) -> tuple[str, ...]:
        column_type, default = action.split()[3], action.lower().partition(" default ")[2]
        is_computed = "(" in _STABLE_DEFAULT.sub("", default) or " generated " in action.lower()
        return (REWRITES,) if is_computed or column_type in self._constrained else ()

    def _changing_type(self, table: str, column: str, new_type: str) -> tuple[str, ...]:
        """Return what a change of a column's type does. A domain without constraints has the values of its base."""
        if self._has_constraint(new_type) or self._base(self._columns.get((table, column), "")) != self._base(new_type):
            return (REWRITES,)
        # The server checks the constraints of a changed column again.
        is_checked = any(of == table and column in columns for (of, _), columns in self._checks.items())
        return (READS,) if is_checked else ()

    def _base(self, type_name: str) -> str:
        while type_name in self._bases:
            type_name = self._bases[type_name]
        return type_name

    def _has_constraint(self, type_name: str) -> bool:
        while type_name not in self._constrained and type_name in self._bases:
            type_name = self._bases[type_name]
        return type_name in self._constrained

    def _adding_constraint(self, table: str, name: str, action: str) -> Iterator[Effect]:
        lower = action.lower()
        works = () if lower.endswith("not valid") else (READS,)
        if referenced := re.search(rf" references {_NAME}", action, re.IGNORECASE):
            yield Effect(referenced[1], "share row exclusive", ())
            yield Effect(table, "share row exclusive", works)
            return
        if " check (" in lower:
            named = set(re.findall(r"\w+", action.partition(" (")[2]))
            columns = frozenset(column for of, column in self._columns if of == table and column in named)
            self._checks[table, name] = columns
        yield Effect(table, "access exclusive", works)

    def _create_domain(self, match: Match[str]) -> Iterator[Effect]:
        self._bases[match[1]] = match[2]
        if match[3]:
            self._constrained.add(match[1])
        yield from ()

    def _constrain_domain(self, match: Match[str]) -> Iterator[Effect]:
        domain, action = match[1], match[2].lower()
        self._constrained.add(domain)
        if not action.endswith("not valid"):
            for (table, _), column_type in self._columns.items():
                if column_type == domain or self._is_based_on(column_type, domain):
                    yield Effect(table, "share", (READS,))

    def _is_based_on(self, type_name: str, domain: str) -> bool:
        while type_name in self._bases:
            type_name = self._bases[type_name]
            if type_name == domain:
                return True
        return False

    def _replace_view(self, match: Match[str]) -> Iterator[Effect]:
        if any(table == match[1] for table, _ in self._columns):
            yield Effect(match[1], "access exclusive", ())

    def _create_table(self, match: Match[str]) -> Iterator[Effect]:
        self._new_tables.add(match[1])
        for table in re.findall(rf"\breferences {_NAME}", match[2], re.IGNORECASE):
            yield Effect(table, "share row exclusive", ())

    def _create_table_as(self, match: Match[str]) -> Iterator[Effect]:
        self._new_tables.add(match[1])
        for table in re.findall(rf"\b(?:from|join) {_NAME}", match[2], re.IGNORECASE):
            if any(of == table for of, _ in self._columns):
                yield Effect(table, "access share", (READS,))


def _locking(mode: str, *works: str) -> Callable[[Match[str]], Iterable[Effect]]:
    """Return a function that gives the effect on the one table that a statement names."""
    return lambda match: [Effect(match[1], mode, works)]


def combined(effects: Iterable[Effect]) -> list[Effect]:
    """Return what several effects are together: one for each table, with the strongest lock and all works."""
    by_table: dict[str, Effect] = {}
    ranks = (*MODES, UNKNOWN)
    for effect in effects:
        other = by_table.get(effect.table, effect)
        mode = max(effect.mode, other.mode, key=ranks.index)
        by_table[effect.table] = Effect(effect.table, mode, tuple(sorted({*effect.works, *other.works})))
    return list(by_table.values())
