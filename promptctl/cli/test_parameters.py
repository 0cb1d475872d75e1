"""Declarations of the arguments and options of `test` and its subcommands, by the function of the command.

They are not in `parameters`, because every command imports that module.
"""

from __future__ import annotations

from promptctl.cli import parameters as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.parameters import Parameter

_TARGETS = p.argument(
    "targets", "TARGET", "NAME[@VERSION], or a folder of prompts. A bare NAME means its newest version.", several=True
)
_AGAINST = p.option("against", "--against", "NAME[@VERSION]", "Baseline. Default: the active version.")
_CASE = p.option(
    "case", "--case", "PATTERN", "Run only matching cases: part of a description, or a pattern with * and ?."
)
_REPEAT = p.option(
    "repeat",
    "--repeat",
    "N",
    "New replies to each case in the first stage, in place of repeat of the file. Default: 3.",
    kind=p.NUMBER,
)
_MARGIN = p.option(
    "margin", "--margin", "POINTS", "The drop of the pass rate that does not matter. Default: 5pt, or that of the file."
)
_MODELS = p.option(
    "model", "--model", "MODEL", "Model. Default: the version's. Repeatable: a run for each.", kind=p.TEXTS
)
_ESTIMATE = p.flag("estimate", "--estimate", "Show the calls, the tokens and the cost. Make no call but token counts.")
_MAX_COST = p.option("max_cost", "--max-cost", "DOLLARS", "Most that all runs may cost, in US dollars.")
_REPLAY = p.flag("replay", "--replay", "Use kept replies only. Make no call, and need no API key.")
_BATCH = p.flag("batch", "--batch", "Make the calls in batches: half the price, within a day.")
_RESUME = p.flag("resume", "--resume", "First take the replies that an earlier run left in batches and files.")
_STRICT = p.flag("strict", "--strict", "Exit with 9 if a verdict is undecided, or what would change has no cases.")
_ALL_CASES = p.flag("all", "--all", "List the cases that are as before, too.")
_FORMAT = p.option(
    "format", "--format", "FORMAT", "Format of the answer: text, markdown (for a comment on a pull request) or json."
)
_HTML = p.option("html", "--html", "FILE", "Also write a report with the replies to a file, for a browser.")
_JUNIT = p.option("junit", "--junit", "FILE", "Also write the results to a file as JUnit XML.")
_RUN = p.argument("number", "RUN", "Number of the run.")
_CONVERSATION = p.option("from_", "--from", "FILE", "Saved conversation, of chat --save.", required=True)
_JUDGE_NAME = p.argument("name", "NAME[@VERSION]", "Prompt that is the judge, or built-in.")
_LABELS = p.option("labels", "--labels", "FILE", "Replies with the labels of people, YAML or JSON.", required=True)
_CASE_DESCRIPTION = p.option("description", "--description -d", "TEXT", "Description of the case.")
_CASE_CONTAINS = p.option("contains", "--contains", "TEXT", "The reply must contain TEXT. Repeatable.", kind=p.TEXTS)
_CASE_RUBRIC = p.option(
    "rubric", "--rubric", "TEXT", "A judge must find that the reply meets TEXT. Repeatable.", kind=p.TEXTS
)
_CASE_FOLDER = p.option("folder", "--folder", "FOLDER", "Folder of prompts. Default: prompts/.")

PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "test:run_cases": (
        _TARGETS, _AGAINST, _CASE, _REPEAT, _MARGIN, _MODELS, _ESTIMATE, _MAX_COST, _REPLAY,
        _BATCH, _RESUME, _STRICT, _ALL_CASES, _FORMAT, _HTML, _JUNIT, p.AUTHOR,
    ),
    "test_list:list_runs": (p.OPTIONAL_NAME, p.LIMIT, p.TABLE_FORMAT),
    "test_list:show": (_RUN, _ALL_CASES, _FORMAT, _HTML, _JUNIT),
    "test_add:add": (
        p.NAME, _CONVERSATION, _CASE_DESCRIPTION, _CASE_CONTAINS, _CASE_RUBRIC, p.VARIABLES, _CASE_FOLDER,
        p.ALLOW_SECRETS,
    ),
    "test_judge:judge": (_JUDGE_NAME, _LABELS, _MAX_COST, p.TABLE_FORMAT),
}  # fmt: skip
