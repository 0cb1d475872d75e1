"""The request of a new version, from --request and --request-set."""

from __future__ import annotations

from promptctl import bounded_input, errors
from promptctl.output import messages, stream
from promptctl.rules import references, request_assignments, requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, cast

    from promptctl.cli.run import Run
    from promptctl.store.version_texts import VersionText
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


# By refused key with an option or an argument of its own: what completes a sentence that begins with the key.
_INSTEAD = {
    "model": "belongs in --model",
    "max_tokens": "belongs in --max-tokens",
    "system": "is the argument TEXT",
}


def read(run: Run, file: str | None, assignments: list[str], *, text_from_pipe: bool) -> dict[str, Any] | None:
    """Return the request that the options describe, None without them. `file` is - for standard input.

    `text_from_pipe`: the text of the version comes from standard input. Raises Usage (`invalid_request`), Refused
    (`secret_found`) and Failed for a file that cannot be read.
    """
    if file is None and not assignments:
        return None
    request: Any = {}
    where = "--request-set"
    if file is not None:
        if file == "-" and text_from_pipe:
            raise errors.Usage(
                "usage",
                "the text and the request cannot both come from standard input",
                hint="pass the text as an argument, or with -f FILE",
            )
        from promptctl.folder import request_files

        where = "standard input" if file == "-" else references.quoted(file)
        request = _parsed(_content(file), where)
        if request is None:
            raise _invalid(f"the request in {where} {request_files.EMPTY}")
        _check(request, where)
    for assignment in assignments:
        where = "--request-set"
        try:
            request_assignments.set_value(request, assignment)
        except ValueError as problem:
            key = references.quoted(assignment.partition("=")[0])
            raise _invalid(f"--request-set {key}: {problem}") from None
    for assignment in assignments:
        if request_assignments.contradicted(request, assignment):
            raise _invalid(f"--request-set {references.quoted(assignment)}: a later --request-set has another value")
    _check(request, where)
    for path, text in _texts(request):
        run.refuse_secrets(f"request.{path}", text)
    return request


def note_warnings(request: dict[str, Any] | None) -> None:
    """Print what Claude will probably read otherwise than the author of a request expects."""
    for line in stream.wrapped([f"request: {sentence}" for sentence in requests.warnings(request or {})]):
        messages.note(line)


def note_left_out(run: Run, active: VersionText, request: dict[str, Any], *, has_text: bool) -> None:
    """Print which keys the request of the active version has and a new request has not, and how to keep them.

    `has_text`: the text of the new version is an argument, so the command can read the request from a pipe.
    """
    left_out = [stream.one_line(key) for key in requests.decode(active.settings) or {} if key not in request]
    if not left_out:
        return
    from promptctl.cli import command_line

    reference = f"{active.name}@{active.version}"
    messages.note(f"the request of {reference}, which is active, also has {', '.join(left_out)}")
    show = command_line.on_same_database(f"promptctl show {reference} --request", run.words)
    create = command_line.for_shell(command_line.with_options(run.words, ("--request", "-")))
    if has_text and create.isprintable():
        messages.note(f"to keep that: {show} | {create}")
    else:
        messages.note(f"to keep that: {show} > request.json, then add --request request.json")


def _invalid(message: str) -> errors.Usage:
    return errors.Usage("invalid_request", message, hint="promptctl create --help")


def _check(request: object, where: str) -> None:
    """Raise Usage for what cannot be a request, with the refused keys in the words of the command line."""
    clauses = requests.problems(request)
    for key, instead in _INSTEAD.items():
        refused = f"{key} {requests.REFUSED_KEYS[key]}"
        clauses = [f"{key} {instead}" if clause == refused else clause for clause in clauses]
    if clauses:
        first, *others = [
            f"the request in {where} {clause}"
            if clause.startswith(("is ", "has "))
            else f"the request in {where}: {clause}"
            for clause in clauses
        ]
        failure = _invalid(first)
        failure.others = others
        raise failure


def _content(file: str) -> bytes:
    if file == "-":
        from promptctl.cli import content

        return content.standard_input("create", "request")
    try:
        return bounded_input.any_file(file)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{references.quoted(file)} {problem.strerror}") from None
    except (OSError, ValueError) as problem:
        if file.lstrip().startswith("{"):
            raise errors.Usage(
                "invalid_request", "--request is the name of a file, and not the request itself", hint=_as_values(file)
            ) from None
        if file == "":
            raise errors.Usage("usage", "--request is empty", hint="pass a file, or - for standard input") from None
        hint = "pass a readable file, or - for standard input"
        raise bounded_input.unreadable(references.quoted(file), problem, hint) from None


def _as_values(text: str) -> str:
    """Return the options that set what the text of a request has, for a hint; other advice if no options do."""
    import json
    import shlex

    try:
        request: Any = requests.parse_json(text)
    except ValueError:
        request = None
    # An option takes `.` and `=` in a key for the end of the key.
    if not request or requests.problems(request) or any("." in key or "=" in key for key in request):
        return "pass a file, - for standard input, or single values such as --request-set thinking.type=adaptive"
    values = cast("dict[str, Any]", request).items()
    # As JSON, because a text such as 5 would be read as a number.
    words = [word for key, value in values for word in ("--request-set", f"{key}={json.dumps(value)}")]
    return f"instead of --request, pass {shlex.join(words)}"


def _parsed(raw: bytes, where: str) -> object:
    """Return the value of a file: JSON if it begins with a bracket, otherwise YAML."""
    from promptctl.folder import strict_yaml
    from promptctl.rules import json_documents

    try:
        if raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
            return json_documents.parse(raw, unique_keys=True)
        return strict_yaml.load_json(raw, requests.DEEPEST)
    except json_documents.InvalidDocument as problem:
        line = "" if problem.line is None else f", line {problem.line}"
        raise _invalid(f"{where}{line}: {problem.reason}") from None
    except strict_yaml.Malformed as problem:
        raise _invalid(f"{where}, line {problem.line}: {problem.what}") from None


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each text and key in a JSON value."""
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, item in cast("dict[str, Any]", node).items():
            yield path, key
            yield from _texts(item, f"{path}.{key}" if path else key)
    elif isinstance(node, list):
        for place, item in enumerate(cast("list[Any]", node)):
            yield from _texts(item, f"{path}[{place}]")
