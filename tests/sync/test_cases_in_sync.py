"""Test cases in a sync: stored with their prompt, compared, saved in plans, and removed with their file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.folder.test_prompt_files import write

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Ended, Promptctl

CASES = """\
margin: 3pt
tests:
- message: Can I have my money back?
  vars: {plan: "{pro}"}
  assert: [contains: 30 days]
- message: Hi
"""


def stored_cases(sql: psycopg.Connection[Any]) -> list[tuple[str, dict[str, Any]]]:
    rows = sql.execute(
        """
        select p.name, c.definition::json from promptctl.prompt_cases p join promptctl.test_cases c on c.hash = p.hash
        order by p.name, p.place
        """
    )
    return rows.fetchall()


def sync(promptctl: Promptctl, *words: str, **files: str) -> Ended:
    """Write files of the prompt `a` and sync."""
    changed: dict[str, str | bytes] = {f"a/{name.replace('_', '.')}": content for name, content in files.items()}
    write(promptctl.home / "prompts", changed)
    return promptctl("sync", "prompts", *words)


def test_cases_are_stored_and_a_second_sync_changes_nothing(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    first = sync(promptctl, v1_txt="Hi {plan}.\n", tests_yaml=CASES)
    assert (first.code, first.out.splitlines()[1]) == (0, "tests\ta\ttests: 2 cases, margin 3 points"), first
    assert "1 new, 1 change of tests; applied as release 1" in first.err
    assert stored_cases(sql) == [
        (
            "a",
            {
                "messages": [{"role": "user", "content": "Can I have my money back?"}],
                "vars": {"plan": "{pro}"},
                "assert": [{"type": "contains", "value": "30 days"}],
            },
        ),
        ("a", {"messages": [{"role": "user", "content": "Hi"}]}),
    ]
    for words in (("--check",), ()):
        again = promptctl("sync", "prompts", *words)
        assert (again.code, again.out) == (0, ""), again
    # A comment changes the file and no case.
    again = sync(promptctl, "--check", tests_yaml=f"# A comment\n{CASES}")
    assert (again.code, again.out) == (0, ""), again


def test_a_change_of_cases_alone_is_found_and_belongs_to_no_release(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sync(promptctl, v1_txt="Hi.\n", tests_yaml=CASES)
    changes = [
        (CASES.replace("Hi", "Hello"), "tests: 2 cases, 1 new, 1 removed"),
        (CASES.replace("Hi", "Hello").replace("3pt", "4pt"), "tests: 2 cases, margin 4 points"),
        ("- message: A\n- message: B", "tests: 2 cases, 2 new, 2 removed, no margin"),
        ("- message: B\n- message: A", "tests: 2 cases, in another order"),
        ("- message: B", "tests: 1 case, 1 removed"),
    ]
    for yaml, message in changes:
        check = sync(promptctl, "--check", tests_yaml=yaml)
        assert (check.code, check.out) == (3, f"tests\ta\t{message}\n"), check
        applied = promptctl("sync", "prompts")
        assert (applied.code, applied.out) == (0, f"tests\ta\t{message}\n"), applied
        assert "1 change of tests; applied\n" in applied.err
    assert [case["messages"][0]["content"] for _, case in stored_cases(sql)] == ["B"]
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (1,)
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (1,)


def test_a_prompt_without_a_file_of_cases_has_none(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sync(promptctl, v1_txt="Hi.\n", tests_yaml=CASES)
    (promptctl.home / "prompts/a/tests.yaml").unlink()
    removed = promptctl("sync", "prompts")
    assert (removed.code, removed.out) == (0, "tests\ta\ttests: the folder has none; 2 cases removed\n"), removed
    assert stored_cases(sql) == []
    assert sql.execute("select count(*) from promptctl.prompt_tests").fetchone() == (0,)
    assert promptctl("sync", "prompts", "--check").code == 0


def test_cases_that_no_sync_has_stored_stay(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    promptctl("create", "a", "Hi.")
    sql.execute("select promptctl.set_cases('a', array['{}'])")
    first = sync(promptctl, v1_txt="Hi.")
    assert (first.code, "tests" in first.out) == (0, False), first
    assert stored_cases(sql) == [("a", {})]


def test_a_changed_conversation_is_a_changed_case(promptctl: Promptctl) -> None:
    chat = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
    assert sync(promptctl, v1_txt="Hi.\n", tests_yaml="- conversation: chat.json", chat_json=chat).code == 0
    check = sync(promptctl, "--check", chat_json=chat.replace("Hi", "Hello"))
    assert (check.code, check.out) == (3, "tests\ta\ttests: 1 case, 1 new, 1 removed\n"), check


def test_a_saved_plan_has_the_cases(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    assert sync(promptctl, "--save-plan", "plan.json", v1_txt="Hi.\n", tests_yaml=CASES).code == 0
    assert stored_cases(sql) == []
    (promptctl.home / "prompts/a/tests.yaml").unlink()
    applied = promptctl("sync", "--apply-plan", "plan.json")
    assert (applied.code, len(stored_cases(sql))) == (0, 2), applied
    assert sql.execute("select margin from promptctl.prompt_tests").fetchone() == (0.03,)
    # Cases that change meanwhile make a plan outdated.
    assert promptctl("sync", "prompts", "--save-plan", "plan.json").code == 0
    sql.execute("select promptctl.set_cases('a', array['{}'])")
    outdated = promptctl("sync", "--apply-plan", "plan.json")
    assert (outdated.code, '"a" has changed since the plan was made' in outdated.err) == (5, True), outdated


def test_an_invalid_case_refuses_the_whole_folder(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    for words in ((), ("--check", "--offline")):
        refused = sync(promptctl, *words, v1_txt="Hi.\n", tests_yaml="- assert: [{type: javascript, value: x}]")
        assert refused.code == 1
        assert refused.err.startswith(
            "error: prompts/a/tests.yaml: case 1: assert 1: the type javascript is not supported (no code is run"
        )
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (0,)


def test_a_secret_in_a_case_names_the_key_that_allows_it(promptctl: Promptctl) -> None:
    # Not a key: only its form is that of one.
    secret = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"
    refused = sync(promptctl, v1_txt="Hi.\n", tests_yaml=f"- message: {secret}")
    assert (refused.code, secret in refused.err) == (5, False), refused
    assert "error: prompts/a/tests.yaml:1: sk-ant" in refused.err
    assert 'in prompts/a/prompt.yaml: allow_secrets: {tests.yaml: "the reason"}' in refused.err
    allowed = sync(promptctl, prompt_yaml='allow_secrets: {tests.yaml: "made up"}\n')
    assert allowed.code == 0, allowed


def test_markdown_and_json_have_the_change(promptctl: Promptctl) -> None:
    markdown = sync(promptctl, "--dry-run", "--format", "markdown", v1_txt="Hi.\n", tests_yaml=CASES)
    assert "| tests | `a` | tests: 2 cases, margin 3 points |" in markdown.out, markdown
    [_, change, *_] = json.loads(promptctl("sync", "prompts", "--dry-run", "--json").out)["changes"]
    assert (change["kind"], change["name"], change["version"]) == ("tests", "a", None)


def test_a_version_that_cases_cannot_be_run_with_has_notes(promptctl: Promptctl) -> None:
    cases = "- {message: A, vars: {plann: pro}}\n" + "".join(f"- message: {name}\n" for name in "BCD")
    sentences = [
        "case 1 (A), which has a value for plann, which is not a variable of the version: did you mean plan?",
        "case 1 (A), which has no value for the variable plan: add vars",
        "case 2 (B), which has no value for the variable plan: add vars",
        "other cases either: 2 more problems",
    ]
    notes = [f"note\ta@2\tcannot be tested with {sentence}" for sentence in sentences]
    # Version 1 is neither active nor the newest.
    files = {"v1_txt": "Hi {all}.\n", "v2_txt": "Hi {plan}, {name}.\n", "tests_yaml": cases}
    files["prompt_yaml"] = "variables:\n  name: {default: Ann}\n"
    for words in (["--dry-run"], ["--check", "--offline"], []):
        planned = sync(promptctl, *words, **files)
        assert planned.code == 0, planned
        assert [line for line in planned.out.splitlines() if "cannot be tested" in line] == notes
    assert promptctl("sync", "prompts").out == ""
    # Of a version that is stored, values of variables that it does not have are not known.
    changed = sync(promptctl, tests_yaml="- {message: A, vars: {plann: pro}}")
    assert changed.out.splitlines()[1:] == notes[1:2]


def test_a_file_of_cases_that_cannot_be_used_is_named_by_every_plan(promptctl: Promptctl) -> None:
    for words in (["--dry-run"], ["--check", "--offline"], ["--check"], []):
        refused = sync(promptctl, *words, v1_txt="Hi.\n", tests_yaml="- message: A\n  assert: [{type: nonsense}]\n")
        assert (refused.code, refused.out) == (1, "")
        assert "prompts/a/tests.yaml: case 1: assert 1: " in refused.err
        assert "nonsense" in refused.err


def test_a_message_that_looks_like_a_template_has_a_note(promptctl: Promptctl) -> None:
    cases = '- {message: "Of {{ plan }}?", vars: {plan: pro}}\n- {message: "Of {{other}}, {plan}", vars: {plan: pro}}\n'
    done = sync(promptctl, v1_txt="Hi {plan}.\n", tests_yaml=cases)
    assert done.code == 0
    [note] = [line for line in done.out.splitlines() if line.startswith("note")]
    assert note.endswith("tests: case 1 (Of {{ plan }}?) is sent with {{plan}} as it is: a message is no template")
    assert sync(promptctl).out == ""
