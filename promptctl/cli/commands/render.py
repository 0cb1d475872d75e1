"""promptctl render."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import variables
from promptctl.output import stream
from promptctl.rules import references, templates
from promptctl.store import version_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.store.version_texts import ServedVersion


def render(
    run: Run,
    reference: str,
    var: list[str] | None = None,
    vars_file: str | None = None,
    request: bool = False,
    message: str | None = None,
    unit: str | None = None,
) -> None:
    """Print the text of a version with values for its variables.

    In a pipe the text is exact, byte for byte. Values are inserted as they are: a
    variable inside a value is not replaced. A variable without a value gets its
    default. A variable without a value or a default is an error, and so is a value
    that matches no variable of the version or its messages. The file of --vars-file
    contains NAME: VALUE in YAML, or a JSON object. Dots join nested names, as in
    user.name.

    With --request, it prints what is sent to Claude as JSON, in keywords of the
    SDK's messages.create: the system prompt and the request of the version, with
    its few-shot messages. model and max_tokens are there if the version sets them.
    If not, the application or chat sets them.

    Examples:
      promptctl render code_helper --var language=Python
      promptctl render support/reply@2 --vars-file customer.yaml > system.txt
      promptctl render support/triage --request --message "Where is my parcel?"
    """
    target = references.parse(reference)
    if message is not None and not request:
        raise errors.Usage(
            "usage",
            "--message is part of a request: add --request",
            hint=f"promptctl render {target} --request --message TEXT",
        )
    if unit is not None and target.version is not None:
        raise errors.Usage(
            "usage",
            "--unit selects the version: use the name without @VERSION",
            hint=f"promptctl render {target.name} --unit UNIT",
        )
    values = variables.read(var, vars_file)
    with run.database() as database:
        served = version_texts.read_served_version(database, target, unit)
    if request:
        _render_request(run, served, values, message)
    else:
        _render_text(run, served, values)


def _render_text(run: Run, served: ServedVersion, values: dict[str, str]) -> None:
    version = f"{served.name}@{served.version}"
    template = templates.Template(served.content, served.settings)
    accepted = template.accepted
    if "request" in served.settings:
        from promptctl.rules.message_requests import RequestTemplate

        # One file of values serves the text and the messages.
        accepted = RequestTemplate(served.content, served.settings).accepted
    variables.check(accepted, version, values)
    try:
        content = template.render(values)
    except templates.MissingValues as problem:
        raise variables.missing(problem, version) from None
    run.log("Using prompt", name=served.name, version=served.version, promptId=served.id)
    if run.form == "json":
        from promptctl.output import prompt_documents

        stream.write_json(prompt_documents.rendered_document(served, content, variables.used(template, values)))
    elif run.form == "quiet":
        stream.write(f"{version}\n")
    else:
        stream.write_content(content)


def _render_request(run: Run, served: ServedVersion, values: dict[str, str], message: str | None) -> None:
    from promptctl.rules.message_requests import RequestTemplate

    version = f"{served.name}@{served.version}"
    template = RequestTemplate(served.content, served.settings)
    variables.check(template.accepted, version, values)
    messages: list[dict[str, str]] = []
    if message is not None:
        from promptctl.cli import content

        messages = [{"role": "user", "content": content.read(message, None, "chat")}]
    try:
        keywords = template.keywords(values, messages)
    except templates.MissingValues as problem:
        raise variables.missing(problem, version) from None
    run.log("Using prompt", name=served.name, version=served.version, promptId=served.id)
    if run.form == "json":
        used = variables.used(template, values)
        stream.write_json({"name": served.name, "version": served.version, "request": keywords, "variables": used})
    elif run.form == "quiet":
        stream.write(f"{version}\n")
    else:
        stream.write(stream.json_text(keywords, 2) + "\n")
