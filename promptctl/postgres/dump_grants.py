"""The grants in a dump: whom they concern, and how another owner than the dump's can run them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The comment above the statements of an entry, and that of an entry with privileges.
_ENTRY_HEADING = re.compile(r"^(?=-- Name: .+; Type: .+; Schema: )", re.MULTILINE)
_PRIVILEGES = re.compile(r"-- Name: (?P<name>.+); Type: (?P<type>ACL|DEFAULT ACL); Schema: ")
# Names of roles that need quotes have them. PUBLIC is in capitals.
_ROLE = r'(?P<role>"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'
_GRANT = re.compile(rf"^GRANT .* TO {_ROLE}(?: WITH GRANT OPTION)?;\n", re.MULTILINE)
_REVOKE = re.compile(rf"^REVOKE .* FROM {_ROLE};\n", re.MULTILINE)
_GRANTOR = re.compile(r"^(?:RE)?SET SESSION AUTHORIZATION.*;\n", re.MULTILINE)
_DEFAULT_PRIVILEGES = re.compile(r"^ALTER DEFAULT PRIVILEGES .*;\n", re.MULTILINE)


def roles(sql: str) -> list[str]:
    """Return the roles that statements grant rights to, in the order of their names, without PUBLIC."""
    return sorted({_unquoted(grant["role"]) for grant in _GRANT.finditer(sql)} - {"public"})


def without_grants_to(sql: str, roles: Iterable[str]) -> str:
    """Return statements without the grants to these roles."""
    return _without_roles(_GRANT, sql, frozenset(roles))


def for_another_owner(sql: str, entries: Sequence[str]) -> str:
    """Return the statements of a section as another owner than the dump's can run them.

    `entries` are the lines of pg_restore's list, which name the owner of each object. pg_restore has no option for it:
    its statements set the session to each grantor, which needs a superuser, revoke the rights of the dump's owner and
    grant some of them again, and change the default privileges of their owner.
    """
    parts: list[str] = []
    for part in _ENTRY_HEADING.split(sql):
        privileges = _PRIVILEGES.match(part)
        if privileges is None:
            parts.append(part)
        elif privileges["type"] == "DEFAULT ACL":
            parts.append(_DEFAULT_PRIVILEGES.sub("", part))
        else:
            owner = frozenset((_owner(privileges["name"], entries),))
            parts.append(_GRANTOR.sub("", _without_roles(_REVOKE, _without_roles(_GRANT, part, owner), owner)))
    return "".join(parts)


def _owner(name: str, entries: Sequence[str]) -> str:
    """Return the owner of an object in the dump, for example of `TABLE uses`."""
    starts = (f"ACL promptctl {name} ", f"ACL - {name} ")
    return next((entry[len(start) :] for entry in entries for start in starts if entry.startswith(start)), "")


def _without_roles(statement: re.Pattern[str], sql: str, roles: frozenset[str]) -> str:
    return statement.sub(lambda line: "" if _unquoted(line["role"]) in roles else line[0], sql)


def _unquoted(role: str) -> str:
    return role[1:-1].replace('""', '"') if role.startswith('"') else role
