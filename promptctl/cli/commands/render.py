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


def render(
    run: Run, reference: str, var: list[str] | None = None, vars_file: str | None = None, unit: str | None = None
) -> None:
    """Print the text of a version with values for its variables.

    In a pipe the text is exact, byte for byte. Values are inserted as they are: a
    variable inside a value is not replaced. A variable without a value gets its
    default. A variable without a value or a default is an error, and so is a value
    that matches no variable. The file of --vars-file contains NAME: VALUE in YAML,
    or a JSON object. Dots join nested names: user.name.

    Examples:
      promptctl render code_helper --var language=Python
      promptctl render support/reply@2 --vars-file customer.yaml > system.txt
    """
    target = references.parse(reference)
    if unit is not None and target.version is not None:
        raise errors.Usage(
            "usage",
            "--unit selects the version: use the name without @VERSION",
            hint=f"promptctl render {target.name} --unit UNIT",
        )
    values = variables.read(var, vars_file)
    with run.database() as database:
        served = version_texts.read_served_version(database, target, unit)
    version = f"{served.name}@{served.version}"
    template = templates.Template(served.content, served.settings)
    variables.check(template.accepted, version, values, "render")
    try:
        content = template.render(values)
    except templates.MissingValues as problem:
        raise variables.missing(problem, version, "render") from None
    run.log("Using prompt", name=served.name, version=served.version, promptId=served.id)
    if run.form == "json":
        from promptctl.output import prompt_documents

        stream.write_json(prompt_documents.rendered_document(served, content, variables.used(template, values)))
    elif run.form == "quiet":
        stream.write(f"{version}\n")
    else:
        stream.write_content(content)
