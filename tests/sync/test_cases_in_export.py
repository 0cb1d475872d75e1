"""Test cases in an export: a sync finds nothing to do, and files with the same cases stay as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.sync.test_cases_in_sync import sync

if TYPE_CHECKING:
    from tests.conftest import Promptctl

CHAT = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})
CASES = """\
# Kept
judge: judges/helpful@3
margin: 3pt
defaultTest:
  assert: [not-contains: "{% raw %}{{a}}{% endraw %}"]
tests:
- description: Refund
  message: |
    Can I have
    {my} money back?
  vars: {plan: "{{pro}}", n: "08"}
  threshold: 0.5
  repeat: 5
  critical: true
  group: refunds
  assert:
  - contains: "{{plan}}"
    weight: 2
  - latency: 800
  - cost: 0.0125
  - is-json: {type: object, properties: {a: {type: number}}}
  - not-is-json:
  - contains-any: [a, "1"]
  - llm-rubric: Is polite.
    threshold: 0.8
    metric: tone
- conversation: chat.json
"""


def test_a_sync_of_an_export_finds_nothing(promptctl: Promptctl) -> None:
    assert sync(promptctl, v1_txt="Hi {plan}.\n", tests_yaml=CASES, chat_json=CHAT).code == 0
    exported = promptctl("export", "other")
    assert exported.code == 0, exported
    assert (
        (promptctl.home / "other/a/tests.yaml").read_text()
        == """\
judge: judges/helpful@3
margin: 3pt
tests:
  - description: Refund
    vars:
      n: "08"
      plan: '{{pro}}'
    message: |
      Can I have
      {my} money back?
    assert:
      - not-contains: '{% raw %}{{a}}{% endraw %}'
      - contains: '{% raw %}{{pro}}{% endraw %}'
        weight: 2
      - latency: 800
      - cost: 0.0125
      - is-json:
          properties:
            a:
              type: number
          type: object
      - not-is-json: null
      - contains-any:
          - a
          - "1"
      - llm-rubric: Is polite.
        threshold: 0.8
        metric: tone
    threshold: 0.5
    repeat: 5
    critical: true
    group: refunds
  - message: Hi
    assert:
      - not-contains: '{% raw %}{{a}}{% endraw %}'
"""
    )
    (promptctl.home / "prompts").rename(promptctl.home / "earlier")
    (promptctl.home / "other").rename(promptctl.home / "prompts")
    check = promptctl("sync", "prompts", "--check")
    assert (check.code, check.out) == (0, ""), check


def test_files_with_the_same_cases_stay_as_they_are(promptctl: Promptctl) -> None:
    assert sync(promptctl, v1_txt="Hi.\n", tests_yaml=CASES, chat_json=CHAT).code == 0
    file = promptctl.home / "prompts/a/tests.yaml"
    assert promptctl("export", "prompts").code == 0
    assert file.read_text() == CASES
    file.write_text(CASES.replace("Refund", "Money"))
    differs = promptctl("export", "prompts")
    assert (differs.code, "prompts/a/tests.yaml differs from the database" in differs.err) == (5, True), differs
    assert promptctl("export", "prompts", "--force").code == 0
    assert "description: Refund" in file.read_text()
    assert promptctl("sync", "prompts", "--check").code == 0


def test_cases_of_a_folder_stay_or_must_be_moved(promptctl: Promptctl) -> None:
    folder = promptctl.home / "prompts/a/tests"
    folder.mkdir(parents=True)
    (folder / "1.yaml").write_text("# One\n- message: a\n")
    (folder / "2.yaml").write_text("- message: b\n")
    assert sync(promptctl, v1_txt="Hi.\n").code == 0
    exported = promptctl("export", "prompts")
    assert (exported.code, (folder / "1.yaml").read_text()) == (0, "# One\n- message: a\n"), exported
    assert not (promptctl.home / "prompts/a/tests.yaml").exists()
    (folder / "2.yaml").write_text("- message: c\n")
    refused = promptctl("export", "prompts", "--force")
    assert refused.code == 1
    assert refused.err == (
        "error: the test cases of a differ from those in prompts/a/tests, and are exported into one file\n"
        "hint:  move that folder away, or export into another folder\n"
    )


def test_a_secret_in_a_case_is_allowed_in_the_export(promptctl: Promptctl) -> None:
    # Not a key: only its form is that of one.
    secret = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"
    assert sync(promptctl, "--allow-secrets", v1_txt="Hi.\n", tests_yaml=f"- message: {secret}").code == 0
    exported = promptctl("export", "other")
    assert (exported.code, secret in exported.err) == (0, False), exported
    assert "tests.yaml: it was in the database" in (promptctl.home / "other/a/prompt.yaml").read_text()
    assert promptctl("sync", "other", "--check", "--offline").code == 0
