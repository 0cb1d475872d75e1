"""A sync of a folder that has an archived prompt, or the text of an erased version."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, Promptctl

if TYPE_CHECKING:
    import psycopg

NAME = "default-system-prompt"


@pytest.fixture
def folder(home: Path) -> Path:
    """A copy of the example prompts."""
    return Path(shutil.copytree(ROOT / "prompts", home / "prompts"))


def state(sql: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return sql.execute(
        "select s.name, s.active_version, s.archived_at is null, v.version, v.content from promptctl.served s "
        "left join promptctl.versions v on v.name = s.name order by 1, 4"
    ).fetchall()


def test_an_archived_prompt_is_held_and_never_restored(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("delete", NAME, "--author", "ada@example.com", "--reason", "unused").code == 0
    before = state(sql)
    for options in (("--dry-run",), (), ()):
        ended = promptctl("sync", "prompts", *options)
        assert ended.code == 0, ended
        assert f"held\t{NAME}\tis archived and stays archived: ada@example.com archived it" in ended.out
        assert state(sql) == before
    exported = promptctl("export", "out")
    assert (exported.code, (folder.parent / "out" / NAME).exists()) == (0, False)
    # A change in Git is refused with a hint, and nothing else of the folder is applied.
    (folder / NAME / "v9.txt").write_text("A new text.\n", encoding="utf-8")
    (folder / "code_helper" / "v9.txt").write_text("Another.\n", encoding="utf-8")
    for options in (("--dry-run",), (), ("--check",)):
        refused = promptctl("sync", "prompts", *options)
        assert refused.code == 5, refused
        assert f"{NAME}: is archived, and prompts/{NAME}/v9.txt is new" in refused.err
        keep, undo = refused.err.partition(f"promptctl delete --undo {NAME}")[::2]
        assert "hint:  to keep it archived, remove " in keep
        assert undo == "\n"
        assert state(sql) == before
    assert promptctl("delete", "--undo", NAME).code == 0
    assert promptctl("sync", "prompts").code == 0
    assert "no changes" in promptctl("sync", "prompts").err


def test_changes_to_an_archived_prompt_are_applied_after_its_restore(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    promptctl("sync", "prompts")
    promptctl("delete", NAME)
    yaml = folder / NAME / "prompt.yaml"
    yaml.write_text(yaml.read_text(encoding="utf-8").replace("active: 1", "active: 2"), encoding="utf-8")
    assert promptctl("sync", "prompts").code == 0
    promptctl("delete", "--undo", NAME)
    assert promptctl("sync", "prompts").code == 0
    assert sql.execute("select active_version from promptctl.served where name = %s", [NAME]).fetchone() == (2,)


def test_the_text_of_an_erased_version_is_not_stored_again(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    promptctl("sync", "prompts")
    assert promptctl("erase", f"{NAME}@3", "--reason", "a customer's address").code == 0
    text = (folder / NAME / "v3.txt").read_text(encoding="utf-8")
    (folder / NAME / "prompt.yaml").write_text("active: 1\n", encoding="utf-8")
    before = state(sql)
    same_number = f"{NAME}@3: was erased, and prompts/{NAME}/v3.txt still contains its text: remove the file"
    other_number = f"{NAME}@9: prompts/{NAME}/v9.txt contains the text of @3, which was erased: remove the file"
    for number, message in ((3, same_number), (9, other_number)):
        (folder / NAME / "v3.txt").unlink(missing_ok=True)
        (folder / NAME / f"v{number}.txt").write_text(text, encoding="utf-8")
        for options in (("--dry-run",), (), ("--check",)):
            refused = promptctl("sync", "prompts", *options)
            assert refused.code == 5, refused
            assert message in refused.err
            assert state(sql) == before
    (folder / NAME / "v9.txt").unlink()
    # The database refuses the text under another name too.
    (folder / "new").mkdir()
    (folder / "new" / "v1.txt").write_text(text, encoding="utf-8")
    assert promptctl("sync", "prompts").code == 5
    assert state(sql) == before
