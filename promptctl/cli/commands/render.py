"""promptctl render."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import variables
from promptctl.output import stream
from promptctl.rules import references, templates
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import Reference, Unit, Variables, VariablesFile
    from promptctl.cli.run import Run


def render(
    run: Run, reference: Reference, var: Variables = None, vars_file: VariablesFile = None, unit: Unit = None
) -> None:
    """Print a version's text with the values of its variables.

    In a pipe byte for byte. A value is a text and is put in as it is: what
    looks like a variable in it is not one. A variable without a value takes
    its default; one that has none, and a value of a variable that is not
    there, is an error. A file has NAME: VALUE in YAML or a JSON object,
    nested names joined by dots; - is standard input.

    Examples:
      promptctl render code_helper --var language=Python
      promptctl render support/reply@2 --vars-file customer.yaml > system.txt
    """
    wanted = references.parse(reference)
    if unit is not None and wanted.version is not None:
        raise errors.Usage(
            "usage",
            "--unit asks which version a unit is given: name the prompt without @VERSION",
            hint=f"promptctl render {wanted.name} --unit UNIT",
        )
    values = variables.given(var, vars_file)
    with run.database() as database:
        served = prompts.served(database, wanted, unit)
    version = f"{served.name}@{served.version}"
    template = templates.Template(served.content, served.settings)
    variables.check(template, version, values, "render")
    try:
        content = template.render(values)
    except templates.MissingValues as problem:
        raise variables.missing(problem, version, "render") from None
    run.log("Using prompt", name=served.name, version=served.version, promptId=served.id)
    if run.form == "json":
        from promptctl.output import documents
        from promptctl.output import prompt_view as output

        documents.show(output.rendered_document(served, content, variables.used(template, values)))
    elif run.form == "quiet":
        stream.write(f"{version}\n")
    else:
        stream.write_content(content)
