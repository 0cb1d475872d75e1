"""Translate errors of PostgreSQL, by constraint or SQLSTATE, and of libpq, by its message, into errors for users."""

from __future__ import annotations

from promptctl import errors, schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.postgres import settings
    from promptctl.postgres.connection import ConnectionFailed, ServerError

_NOT_FOUND, _REFUSED, _USAGE = errors.NotFound, errors.Refused, errors.Usage
# The class and the code of each error that schema.sql raises, by its constraint. The message is the server's.
_BY_CONSTRAINT: dict[str, tuple[type[errors.PromptctlError], str]] = {
    "prompt_exists": (_NOT_FOUND, "prompt_not_found"),
    "version_exists": (_NOT_FOUND, "version_not_found"),
    "release_exists": (_NOT_FOUND, "release_not_found"),
    "a_version_is_active": (_NOT_FOUND, "no_active_version"),
    "login_role_exists": (_NOT_FOUND, "role_not_found"),
    "access_is_known": (_USAGE, "usage"),
    "a_prompt_is_named_once": (_USAGE, "named_twice"),
    "the_owner_has_every_access": (_REFUSED, "owner_has_every_access"),
    "an_archived_version_is_not_served": (_REFUSED, "version_archived"),
    "a_served_version_is_not_archived": (_REFUSED, "version_active"),
    "a_served_version_is_not_erased": (_REFUSED, "version_active"),
    "a_route_target_stays_in_service": (_REFUSED, "route_leads_here"),
    "an_archived_prompt_does_not_change": (_REFUSED, "prompt_archived"),
    "an_erased_version_has_no_text": (_NOT_FOUND, "version_erased"),
    "an_erased_text_is_not_stored_again": (_REFUSED, "text_erased"),
    "only_the_owner_erases": (_REFUSED, "not_the_owner"),
    "an_erasure_has_a_reason": (_USAGE, "reason_missing"),
    "a_version_needs_no_new_variable": (_REFUSED, "new_variables"),
    "a_request_has_each_key_once": (_USAGE, "invalid_request"),
    "a_rollback_goes_to_an_earlier_active_version": (_REFUSED, "nothing_to_roll_back"),
    "a_rolled_back_release_has_no_later_moves": (_REFUSED, "release_moved"),
    "a_route_leads_to_a_prompt": (_REFUSED, "invalid_route"),
    "a_route_has_no_cycle": (_REFUSED, "invalid_route"),
    "a_share_needs_a_running_split": (_REFUSED, "no_split"),
    "a_split_needs_an_active_version": (_NOT_FOUND, "no_active_version"),
    "a_candidate_is_not_the_active_version": (_REFUSED, "version_active"),
    "rollout_exists": (_NOT_FOUND, "rollout_not_found"),
    "a_prompt_has_one_open_rollout": (_REFUSED, "rollout_open"),
    "the_share_of_a_rollout_is_from_1_to_9999_basis_points": (_REFUSED, "one_version_served"),
    "test_run_exists": (_NOT_FOUND, "run_not_found"),
    "a_run_that_ended_never_changes": (_REFUSED, "run_ended"),
    "a_reply_is_to_a_text_of_its_run": (_REFUSED, "other_text"),
    "an_erased_text_gets_no_replies": (_REFUSED, "text_erased"),
    "a_prompt_has_at_most_10000_cases": (_USAGE, "too_many_cases"),
    "a_prompt_comes_from_one_source": (_REFUSED, "other_source"),
    "the_active_version_is_as_expected": (_REFUSED, "active_version_moved"),
    "a_prompt_has_one_writer_at_a_time": (_REFUSED, "locked"),
    "names_differ_in_more_than_case": (_REFUSED, "name_differs_only_in_case"),
    "version_numbers_are_from_1_to_2147483647": (_REFUSED, "no_number_left"),
    "a_version_never_changes": (_REFUSED, "version_never_changes"),
    "functions_are_not_open_to_everybody": (errors.SchemaMismatch, "grants_missing"),
    "schema_version_matches": (errors.SchemaMismatch, "schema_version"),
    "schema_belongs_to_promptctl": (errors.SchemaMismatch, "schema_not_ours"),
    "server_is_recent_enough": (errors.SchemaMismatch, "server_too_old"),
    "database_is_utf8": (errors.SchemaMismatch, "database_not_utf8"),
}
# The same for constraints that PostgreSQL itself checks. Its message is generic, so the error gets one of ours.
_IN_OUR_WORDS: dict[str, tuple[type[errors.PromptctlError], str, str]] = {
    "content_is_not_empty": (_USAGE, "empty_content", "the text is empty"),
    "content_has_no_byte_order_mark": (_USAGE, "invalid_content", "the text begins with a byte order mark"),
    "content_has_no_crlf": (_USAGE, "invalid_content", "the text has CR LF line ends"),
    "a_name_is_segments_joined_by_slashes": (_USAGE, "invalid_name", "that cannot name a prompt"),
    "a_name_has_at_most_200_characters": (_USAGE, "invalid_name", "the name is too long"),
    "a_name_is_not_a_number": (_USAGE, "invalid_name", "a number cannot name a prompt"),
    "a_name_has_no_segment_like_a_file_name": (_USAGE, "invalid_name", "a file's name cannot name a prompt"),
    "metadata_has_at_most_1_megabyte": (_USAGE, "value_too_large", "the metadata is larger than 1 MB"),
    "settings_have_at_most_1_megabyte": (_USAGE, "value_too_large", "the settings are larger than 1 MB"),
    "a_request_is_an_object": (_USAGE, "invalid_request", "the request is not a JSON object"),
    "a_request_has_at_most_1_megabyte": (_USAGE, "value_too_large", "the request is larger than 1 MB"),
    "a_request_has_at_most_100_levels": (_USAGE, "invalid_request", "the request has more than 100 levels"),
    "a_request_has_no_other_settings": (
        _USAGE,
        "invalid_request",
        "the request has a key that is not for it: model, max_tokens, system, stream or metadata",
    ),
    "the_numbers_of_a_request_are_finite": (_USAGE, "invalid_request", "a number in the request is too large"),
    "the_messages_of_a_request_have_a_role_and_content": (
        _USAGE,
        "invalid_request",
        "messages in the request are not a list of objects with a role and content",
    ),
    "a_cache_lasts_5m_or_1h": (_USAGE, "invalid_request", "the cache lasts neither 5m nor 1h"),
    "an_origin_has_at_most_100_kilobytes": (_USAGE, "value_too_large", "the origin is larger than 100 kB"),
    "a_seed_has_at_most_300_characters": (_USAGE, "value_too_large", "the seed is longer than 300 characters"),
    "a_source_has_at_most_1000_characters": (
        _USAGE,
        "value_too_large",
        "the name of the source is longer than 1000 characters",
    ),
    "a_hold_is_from_0_to_366_days": (_USAGE, "invalid_time", "the hold is longer than 366 days"),
    "patience_is_from_the_hold_to_3660_days": (
        _USAGE,
        "invalid_time",
        "the patience is shorter than the hold, or longer than 3660 days",
    ),
    "guards_are_metrics_with_tolerances": (_USAGE, "invalid_margin", "the tolerance of a guard is too small"),
    "a_cost_guard_has_prices": (_REFUSED, "price_missing", "a guard of the cost needs the price of each model"),
    "a_case_has_at_most_1_megabyte": (_USAGE, "value_too_large", "a case is larger than 1 MB"),
    "a_reply_has_at_most_10_megabytes": (_USAGE, "value_too_large", "a reply is larger than 10 MB"),
    "a_number_is_used_once_in_a_prompt": (_REFUSED, "version_taken", "that number is taken"),
    "an_active_version_exists_and_is_not_archived": (_REFUSED, "version_archived", "that version cannot be served"),
}
# The class and the code of each other error, by SQLSTATE.
_BY_SQLSTATE: dict[str, tuple[type[errors.PromptctlError], str]] = {
    "42501": (_REFUSED, "permission_denied"),
    "25006": (_REFUSED, "read_only"),
    "55P03": (_REFUSED, "locked"),
    "40001": (_REFUSED, "conflict"),
    "40P01": (_REFUSED, "conflict"),
    "53100": (errors.Failed, "disk_full"),
    "57014": (errors.Failed, "canceled"),
    "otherwise": (errors.Failed, "database_error"),
}
# The end of a message that a version needs a new variable.
ALLOWED_BY = "if every application gives it, add --allow-new-variables"
# Options with which the command that failed would succeed: errors.PromptctlError makes the hint from them.
_HINT_OPTIONS = {"release_moved": ("--skip-moved",)}
# The hint of each error for which the server sends none, by code.
WAYS_OUT = {
    "locked": "run it again when that session has ended",
    "conflict": "run it again",
    "invalid_route": "promptctl list",
    "other_source": "promptctl sync --help: --adopt is for a source that has moved",
    "name_differs_only_in_case": "promptctl list",
    "no_number_left": "promptctl create under another name",
    "permission_denied": "ask the owner of the schema to run: promptctl db grant --help",
    "schema_not_ours": "use the URL of another database",
    "server_too_old": "use the URL of a newer server",
    "database_not_utf8": "createdb --template template0 --encoding UTF8 NAME",
    "disk_full": "free space on the server's disk",
    "canceled": "run it again",
    "database_error": "promptctl db status",
}


def translated(error: ServerError, label: str) -> errors.PromptctlError:
    """Return the error for a server's refusal: by the name of the broken rule, else by SQLSTATE."""
    hint = error.hint or None
    if error.constraint in _IN_OUR_WORDS:
        kind, code, message = _IN_OUR_WORDS[error.constraint]
        return kind(code, message if kind is _USAGE else f"{message}, in {label}", hint=hint)
    if error.constraint in _BY_CONSTRAINT:
        kind, code = _BY_CONSTRAINT[error.constraint]
        if code == "schema_version":
            return _schema_version_mismatch(error, label)
        if kind is _NOT_FOUND:
            missing_prompt = error.detail if code == "prompt_not_found" else None
            if code == "version_not_found" and error.detail:
                hint = f"promptctl show {error.detail}"
            return errors.NotFound(code, f"{_one_line(error.message)} in {label}", hint=hint, name=missing_prompt)
        if code == "new_variables":
            # The server's hint is for SQL. Its detail names the two versions, as `diff` takes them.
            return kind(code, f"{_one_line(error.message)}; {ALLOWED_BY}", hint=f"promptctl diff {error.detail}")
        if code in _HINT_OPTIONS:
            # The server's hint is for authors of SQL.
            failure = kind(code, _one_line(error.message))
            failure.hint_options = _HINT_OPTIONS[code]
            return failure
        return kind(code, _one_line(error.message), hint=hint or WAYS_OUT.get(code))
    # A schema, a table or a function does not exist.
    if error.sqlstate in ("3F000", "42P01", "42883"):
        return errors.SchemaMismatch("schema_missing", f"{label} has no promptctl schema", hint="promptctl db init")
    # 08: the connection has failed. 57P: the server shuts down, or an administrator ended the session.
    if error.sqlstate.startswith(("08", "57P")):
        return errors.Unreachable(
            "connection_lost",
            f"{label} ended the connection: {_one_line(error.message)}; promptctl history shows whether it was made",
            hint="promptctl db status",
        )
    kind, code = _BY_SQLSTATE.get(error.sqlstate, _BY_SQLSTATE["otherwise"])
    message = _one_line(error.message)
    if code == "read_only":
        return kind(code, f"{label} is read-only", hint="use the URL of a server that accepts writes")
    if code == "permission_denied" and "for database" in message:
        # There is no schema yet on which access could be granted.
        return kind(code, f"{label}: {message}", hint="grant create on database NAME to ROLE, in psql, by its owner")
    # The server's own hint is for readers of its log.
    return kind(code, f"{label}: {message}", hint=WAYS_OUT.get(code))


def read_only_by_setting(label: str) -> errors.PromptctlError:
    """Return the error for a refused write if default_transaction_read_only is on."""
    return _REFUSED(
        "read_only",
        f"{label} is read-only: default_transaction_read_only is on",
        hint="promptctl db shell --command '\\drds', which lists the roles with that setting, or use another URL",
    )


def _schema_version_mismatch(error: ServerError, label: str) -> errors.PromptctlError:
    # The server's detail is the version of its schema, or empty.
    installed = int(error.detail) if error.detail.isdigit() else None
    if installed is None:
        return schema_without_data(label)
    if installed > schema.VERSION:
        return errors.SchemaMismatch(
            "schema_newer",
            f"{label} has schema version {installed}; this promptctl supports {schema.VERSION}",
            # The server's hint is the release. The schema of a program that was never released has none.
            hint=f"upgrade promptctl to release {error.hint}, from where it was installed"
            if error.hint
            else "install the promptctl that created this schema",
        )
    return errors.SchemaMismatch(
        "schema_older",
        f"{label} has schema version {installed}; this promptctl needs {schema.VERSION}",
        hint="promptctl db migrate",
    )


def schema_without_data(label: str) -> errors.PromptctlError:
    """Return the error for a schema whose table `installation` is empty."""
    return errors.SchemaMismatch(
        "schema_without_data",
        f"{label} has the tables of promptctl but no schema version, as after a restore of the schema only",
        hint="restore the data as well: pg_restore --data-only --disable-triggers",
    )


def unreachable(failure: ConnectionFailed, target: settings.Target) -> errors.PromptctlError:
    """Return the error for a failed connection to a configured database. It never contains the password."""
    message, reason = str(failure), _reason(str(failure))
    if "definition of service" in message or "service file" in message:
        return errors.Usage("invalid_database_url", f"{target.origin}: {reason}", hint=f"correct {target.origin}")
    if "local user" in message:
        return errors.Usage(
            "invalid_database_url",
            f"{target.origin} names no user, and this process's user id has no name",
            hint="export PGUSER=USER",
        )
    if (parameter := _unknown_parameter(message, target.url)) is not None:
        return errors.Usage(
            "invalid_database_url",
            f"{target.origin} has a parameter that PostgreSQL does not have: {parameter}",
            hint=f"remove {parameter}=… from {target.origin}",
        )
    option = message.rpartition(' for connection option "')[2].rstrip('"\n')
    if message.startswith("connection to server") and option.isidentifier():
        return errors.Usage(
            "invalid_database_url",
            f"{target.origin} has a value of {option} that PostgreSQL does not accept",
            hint=f"correct {option}=… in {target.origin}",
        )
    # For an invalid URL, libpq's message quotes a part of it, or names a part as the host. That part may be the
    # password, so only the text before the quotation is shown.
    is_misread = any(line.startswith("could not translate host name") and "@" in line for line in message.splitlines())
    if is_misread or not message.startswith(("connection to server", "could not")):
        problem = ": " + message.partition('"')[0].strip(" :\n") if message.startswith("invalid ") else ""
        return errors.Usage(
            "invalid_database_url",
            f"{target.origin} is not a valid database URL{problem}",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in the password %40 for @ and %25 for %",
        )
    if "too many" in reason or "remaining connection slots" in reason:
        return errors.Unreachable(
            "too_many_connections", f"the database of {target.origin} accepts no more connections: {reason}",
            hint="run it again when other connections have ended, or raise max_connections",
        )  # fmt: skip
    is_wrong_setting = any(
        part in reason for part in ("does not exist", "authentication failed", "password", "translate host name")
    )
    return errors.Unreachable(
        "unreachable",
        f"cannot reach the database of {target.origin}: {reason}",
        hint=f"correct {target.origin}" if is_wrong_setting else "promptctl db status",
    )


def _unknown_parameter(message: str, url: str | None) -> str | None:
    """Return the parameter of a URL that libpq does not support, for example one of another driver, or None.

    Text before an @ may be a part of the password, and is not returned.
    """
    if not message.startswith("invalid URI query parameter"):
        return None
    name = message.partition('"')[2].partition('"')[0]
    query = (url or "").partition("?")[2]
    names = [parameter.partition("=")[0] for parameter in query.split("&")]
    return name if name.isidentifier() and "@" not in query and name in names else None


def embedded_unreachable(failure: ConnectionFailed) -> errors.PromptctlError:
    """Return the error for a failed connection to the embedded database."""
    return errors.Unreachable(
        "unreachable", f"cannot reach the embedded database: {_reason(str(failure))}", hint="promptctl db status"
    )


def _reason(message: str) -> str:
    """Return libpq's message as one line, for example `db.prod, port 5432: Connection refused`."""
    # Each host that was tried has a line. A line after a tab is advice.
    attempts = [_short_attempt(line) for line in message.splitlines() if line and not line.startswith("\t")]
    # Attempts that failed alike are reported once.
    return _one_line("; ".join(dict.fromkeys(attempts)))


def _short_attempt(line: str) -> str:
    if line.startswith("connection to server at "):
        # Without the quotes around the host.
        line = line.removeprefix("connection to server at ").replace('"', "", 2)
    line = line.removeprefix("connection to server ")
    return line.replace(" failed: ", ": ").replace("FATAL:  ", "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
