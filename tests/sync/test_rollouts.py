"""Rollouts that a sync starts and stops, from a merge to the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.rules import rollout_plans
from promptctl.sync import plan_documents
from tests.conftest import stable
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl

# A plan whose steps need no time. The guard needs 100 uses of each version.
QUICK = "rollout: {steps: [40%, 60%], hold: 0s, uses: 3, guards: {errors: 1pt}}\n"


@pytest.fixture
def repository(promptctl: Promptctl) -> Repository:
    """A repository whose prompt `a` has three versions and was synced with version 1 active."""
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit({f"prompts/a/v{number}.txt": f"Text {number}.\n" for number in (1, 2, 3)} | yaml(1), "ada")
    assert promptctl("sync", "repository/prompts").code == 0
    return repository


def yaml(active: int, rollout: str = "") -> dict[str, str]:
    return {"prompts/a/prompt.yaml": f"active: {active}\n{rollout}"}


def served(sql: psycopg.Connection[Any]) -> Any:
    return sql.execute(
        "select active_version, candidate_version, basis_points from promptctl.served where name = 'a'"
    ).fetchone()


def states(sql: psycopg.Connection[Any]) -> list[Any]:
    return sql.execute("select candidate, state from promptctl.rollouts order by rollout").fetchall()


def use(sql: psycopg.Connection[Any], failing: str = "ok") -> None:
    """Record 400 uses of the prompt; those of the candidate end with `failing`."""
    sql.execute(
        """
        select promptctl.record_use(
            'a', r.version, r.epoch, 300, 150, 1000,
            outcome => case when r.version = s.candidate_version then %s else 'ok' end, unit => 'user-' || i)
        from promptctl.served s, generate_series(1, 400) i, lateral promptctl.resolve('a', 'user-' || i) r
        """,
        [failing],
    )


def test_a_merge_starts_a_rollout_that_ticks_complete(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    commit = repository.commit(yaml(2, QUICK), "bob")
    checked = sync("--check")
    assert (checked.code, checked.out) == (3, "rollout\ta@2\troll out 2 (1 active): 40% → 60% → 100%\n")
    assert served(sql) == (1, None, 0)
    applied = sync()
    assert applied.code == 0, applied.err
    assert applied.err.splitlines()[-1].endswith("1 rollout; applied as release 2")
    assert served(sql) == (1, 2, 4000)
    row = sql.execute(
        "select steps, hold = '0', least_uses, guards, release, reason, author, origin from promptctl.rollouts"
    ).fetchone()
    assert row is not None
    assert row[:7] == (
        [4000, 6000], True, 3, [{"metric": "errors", "tolerance": 0.01}], 2, f"sync {commit[:7]}",
        "pipeline@example.com",
    )  # fmt: skip
    assert (row[7]["commit"], row[7]["path"], row[7]["author"]) == (
        commit, "prompts/a/prompt.yaml", "bob@example.com",
    )  # fmt: skip
    # A later pipeline leaves the rollout alone, and says how far it is.
    again = sync("--check")
    assert (again.code, again.out) == (0, "note\ta@2\trolling out, 40% now\n")
    for share in (6000, 10_000):
        assert sync().code == 0
        use(sql)
        assert promptctl("rollout", "tick").code == 0
        assert served(sql) == ((1, 2, share) if share < 10_000 else (2, None, 0))
    assert states(sql) == [(2, "promoted")]
    assert (sync("--check").code, sync("--check").out) == (0, "")


def test_a_revert_stops_the_rollout(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    repository.git("revert", "--no-edit", "HEAD")
    checked = sync("--check")
    assert (checked.code, checked.out) == (3, "stop\ta@2\tstop rollout 1, 40% for version 2 (1 active)\n")
    stopped = sync("--json")
    document = json.loads(stopped.out)
    [change] = document["changes"]
    assert (change["kind"], change["name"], change["version"], change["previous_version"]) == ("stop", "a", 2, 1)
    assert (document["applied"], document["release"]) == (True, None)
    assert (served(sql), states(sql)) == ((1, None, 0), [(2, "stopped")])
    [(why,)] = sql.execute("select why from promptctl.rollouts").fetchall()
    assert why.startswith("stopped by pipeline@example.com: sync ")
    assert (sync("--check").code, sync("--check").out) == (0, "")
    use(sql)
    promptctl("rollout", "tick")
    assert served(sql) == (1, None, 0)


def test_a_rollout_that_was_rolled_back_is_held(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    use(sql, "overloaded_error")
    assert promptctl("rollout", "tick").code == 3
    held = sync()
    assert held.code == 0
    assert held.out.startswith("held\ta@2\theld at 1, the folder names 2: rollout 1 was rolled back: errors")
    assert "to try 2 again, start a rollout of it" in held.err
    # A commit that changes something else does not start it again.
    repository.commit({"prompts/a/v4.txt": "Text 4.\n"})
    assert sync().code == 0
    assert (served(sql), states(sql)) == ((1, None, 0), [(2, "rolled back")])
    # Another version is a new decision.
    repository.commit(yaml(4, QUICK))
    assert sync().code == 0
    assert (served(sql), states(sql)) == ((1, 4, 4000), [(2, "rolled back"), (4, "running")])


def test_another_version_ends_the_rollout_and_starts_its_own(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    repository.commit(yaml(3, QUICK))
    changed = sync()
    assert changed.out == (
        "stop\ta@2\tstop rollout 1, 40% for version 2 (1 active)\n"
        "rollout\ta@3\troll out 3 (1 active): 40% → 60% → 100%\n"
    )
    assert "1 rollout, 1 rollout stopped; applied as release 3" in changed.err
    assert (served(sql), states(sql)) == ((1, 3, 4000), [(2, "stopped"), (3, "running")])
    # Without the key, a version is activated at once.
    repository.commit(yaml(2))
    assert sync().out == "activate\ta@2\tactivate 2 (1 active); ends rollout 2, 40% for version 3\n"
    assert (served(sql), states(sql)) == ((2, None, 0), [(2, "stopped"), (3, "stopped")])


def test_an_operators_rollout_is_held_and_its_failure_too(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    assert promptctl("rollout", "start", "a@2").code == 0
    # An unchanged folder, and a change of something else, leave it alone.
    assert sync().code == 0
    repository.commit({"prompts/a/v4.txt": "Text 4.\n"})
    assert sync().code == 0
    assert served(sql) == (1, 2, 1000)
    repository.commit(yaml(2))
    for _ in range(2):
        held = sync()
        assert (held.code, held.out) == (
            0, "held\ta@2\theld at 1, the folder names 2: rollout 1 is rolling it out, 10% now\n",
        )  # fmt: skip
    assert promptctl("rollout", "stop", "a", "--reason", "too terse").code == 0
    held = sync()
    assert "the folder names 2: rollout 1 has ended: stopped by " in held.out
    assert "too terse" in held.out
    assert served(sql) == (1, None, 0)


def test_an_operators_rollout_that_the_first_sync_finds_is_not_activated_after_its_failure(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    for text in ("One", "Two"):
        assert promptctl("create", "b", text).code == 0
    assert promptctl("activate", "b@1").code == 0
    repository.commit({"prompts/b/v1.txt": "One", "prompts/b/v2.txt": "Two", "prompts/b/prompt.yaml": "active: 2\n"})
    # The first hold records that nothing was applied, the second one that version 2 is being rolled out.
    assert sync().out.startswith("held\tb@2\theld at 1, the folder names 2")
    assert promptctl("rollout", "start", "b@2").code == 0
    assert "rollout 1 is rolling it out, 10% now" in sync("--adopt").out
    assert promptctl("rollout", "stop", "b").code == 0
    assert "the folder names 2: rollout 1 has ended" in sync("--adopt").out
    assert sql.execute("select active_version from promptctl.served where name = 'b'").fetchone() == (1,)


def test_a_saved_plan_starts_a_rollout_once(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, "rollout: {in_doubt: rollback, patience: 2d, guards: {score: 0.05, time: 15%}}\n"))
    assert sync("--save-plan", "plan.json").code == 0
    assert sync("--save-plan", "other.json").code == 0
    assert promptctl("sync", "--apply-plan", "plan.json").code == 0
    assert (served(sql), states(sql)) == ((1, 2, 1000), [(2, "running")])
    row = sql.execute("select in_doubt, patience = '2 days', steps, guards from promptctl.rollouts").fetchone()
    assert row is not None
    assert row[:3] == ("roll back", True, [1000, 2500, 5000])
    assert {guard["metric"]: round(guard["tolerance"], 4) for guard in row[3]} == {"score": 0.05, "time": 0.1398}
    assert promptctl("sync", "--apply-plan", "other.json", "--json").code == 5


def test_the_defaults_are_those_of_the_database(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, "rollout: default\n"))
    assert sync().code == 0
    row = sql.execute(
        "select steps, extract(epoch from hold)::integer, extract(epoch from patience)::integer from promptctl.rollouts"
    ).fetchone()
    assert row == (
        list(rollout_plans.DEFAULT_STEPS),
        rollout_plans.DEFAULT_HOLD_SECONDS,
        rollout_plans.DEFAULT_PATIENCE_SECONDS,
    )


def test_a_saved_plan_is_refused_after_a_rollout_has_changed(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    repository.commit(yaml(1))
    assert sync("--save-plan", "plan.json").code == 0
    # The pause moves nothing that is served.
    assert promptctl("rollout", "pause", "a").code == 0
    refused = promptctl("sync", "--apply-plan", "plan.json")
    assert (refused.code, "has changed since the plan was made" in refused.err) == (5, True)
    assert states(sql) == [(2, "paused")]
    # A paused rollout is stopped too.
    assert sync().code == 0
    assert states(sql) == [(2, "stopped")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"steps": [\n', '"steps": [\n"x",\n'),
        ('"rollout": {', '"rollout": null, "other": {'),
        ('"guards": [', '"guards": [1, '),
    ],
)
def test_a_damaged_plan_of_a_rollout_is_refused(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], old: str, new: str
) -> None:
    repository.commit(yaml(2, QUICK))
    sync("--save-plan", "plan.json")
    path = promptctl.home / "plan.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    document = json.loads(text.replace(old, new, 1))
    document["digest"] = plan_documents.digest(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    refused = promptctl("sync", "--apply-plan", "plan.json")
    assert (refused.code, "is not a saved plan" in refused.err) == (1, True)


def test_a_cost_without_a_price_is_found_before_anything_is_applied(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    # No use and no setting names a model, so the cost has no price.
    repository.commit(yaml(2, "rollout: {guards: {cost: 10%}}\n") | {"prompts/b/v1.txt": "Another.\n"})
    for words in (("--check",), ()):
        refused = sync(*words)
        message = "a@2: its rollout has a guard of the cost, which needs the price of a model; nothing was applied"
        assert (refused.code, message in refused.err) == (5, True), refused
        assert "remove cost from the guards in repository/prompts/a/prompt.yaml, or set model there" in refused.err
    assert sql.execute("select count(*) from promptctl.served where name = 'b'").fetchone() == (0,)
    assert served(sql) == (1, None, 0)
    # The model of a version that is new has a price.
    text = yaml(4, "model: claude-sonnet-4-5\nrollout: {guards: {cost: 10%}}\n")
    repository.commit(text | {"prompts/a/v4.txt": "Text 4.\n"})
    assert (sync("--check").code, sync().code) == (3, 0)
    assert served(sql) == (1, 4, 1000)


def test_an_error_of_the_database_names_the_prompt(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync("--save-plan", "plan.json")
    path = promptctl.home / "plan.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    [change] = [change for change in document["work"]["plan"]["changes"] if change["kind"] == "rollout"]
    change["rollout"]["guards"][0]["tolerance"] = 0.00001
    document["digest"] = plan_documents.digest(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    refused = promptctl("sync", "--apply-plan", "plan.json")
    assert "a@2: the tolerance of a guard is too small; nothing was applied" in refused.err


def test_a_removed_folder_names_the_rollout_that_continues(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK) | {"prompts/b/v1.txt": "Another.\n"})
    # --quiet prints the reference of each change.
    assert sync("--quiet").out == "a@2\nb@1\n"
    repository.git("rm", "-rq", "prompts/a")
    repository.commit({"prompts/b/v2.txt": "Yet another.\n"})
    shown = sync("--check")
    assert (
        "stored\ta\tis no longer in the folder; version 1 stays active, and rollout 1 continues, with 40% for "
        "version 2, and can activate it\n"
    ) in shown.out
    assert "a: promptctl rollout stop a" in shown.err
    assert sync().code == 0
    assert served(sql) == (1, 2, 4000)
    # The folder is back, and names the active version.
    repository.commit({f"prompts/a/v{number}.txt": f"Text {number}.\n" for number in (1, 2, 3)} | yaml(1))
    # After the end of the rollout, all units get version 1.
    assert sync("--quiet").out == "a@1\n"
    assert served(sql) == (1, None, 0)


def test_a_revert_after_the_promotion_is_activated_at_once(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    for _ in range(2):
        use(sql)
        promptctl("rollout", "tick")
    assert served(sql) == (2, None, 0)
    repository.commit(yaml(1, QUICK))
    assert sync().out == "activate\ta@1\tactivate 1 (2 active) at once, as it was before rollout 1\n"
    assert served(sql) == (1, None, 0)


def test_many_rollouts_are_too_many_moves(
    repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    def folder(active: int, rollout: str = "") -> dict[str, str]:
        return {f"prompts/p{number:02}/prompt.yaml": f"active: {active}\n{rollout}" for number in range(11)}

    texts = {f"prompts/p{number:02}/v{version}.txt": f"{version}" for number in range(11) for version in (1, 2)}
    repository.commit(texts | folder(1))
    assert sync().code == 0
    repository.commit(folder(2, "rollout: {steps: [99%]}\n"))
    refused = sync()
    assert (refused.code, "the plan moves 11 of 12 active prompts at once" in refused.err) == (5, True), refused.err
    assert states(sql) == []


def test_the_rollback_of_a_release_stops_the_rollout_that_it_started(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    repository.commit(yaml(2, QUICK))
    sync()
    ended = promptctl("release", "rollback", "2")
    assert ended.code == 0, ended.err
    assert (served(sql), states(sql)) == ((1, None, 0), [(2, "stopped")])


def test_the_folder_is_checked_without_a_database(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.write(yaml(2, QUICK))
    assert promptctl("sync", "repository/prompts", "--check", "--offline").code == 0
    repository.write(yaml(2, "rollout: {steps: [50%, 10%]}\n"))
    refused = promptctl("sync", "repository/prompts", "--check", "--offline")
    assert refused.code == 1
    assert "rollout: steps: each step must be larger than the one before: 10% follows 50%" in refused.err


def test_export_keeps_the_key_of_a_file_and_writes_none(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.commit(yaml(1, f"# why\n{QUICK}"))
    sync()
    folder = repository.path / "prompts"
    assert promptctl("export", "repository/prompts").code == 0
    assert (folder / "a/prompt.yaml").read_text(encoding="utf-8") == f"active: 1\n# why\n{QUICK}"
    # A file that is replaced keeps the plan, without it the next version would be activated at once.
    promptctl("activate", "a@3")
    assert promptctl("export", "repository/prompts", "--force").code == 0
    replaced = (folder / "a/prompt.yaml").read_text(encoding="utf-8")
    assert replaced.startswith("active: 3\n")
    assert "rollout:" in replaced
    assert promptctl("export", "elsewhere").code == 0
    assert "rollout" not in (promptctl.home / "elsewhere/a/prompt.yaml").read_text(encoding="utf-8")
    repository.commit(yaml(2, replaced.partition("rollout:")[1] + replaced.partition("rollout:")[2]))
    assert "roll out 2 (3 active): 40% → 60% → 100%" in sync().out


def test_export_writes_what_the_folder_names_during_a_rollout(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended]
) -> None:
    repository.commit(yaml(2, f"# why\n{QUICK}"))
    sync()
    file = repository.path / "prompts/a/prompt.yaml"
    file.unlink()
    assert promptctl("export", "repository/prompts").code == 0
    assert file.read_text(encoding="utf-8").startswith("active: 2\n")
    # Without the key, the rollout is held, and nothing stops it.
    assert sync("--check").code == 0


@pytest.mark.parametrize("rollout", ["rollout: {step: [10%]}\n", "rollout: {steps: [10%]\n"])
def test_export_does_not_drop_an_invalid_plan(promptctl: Promptctl, repository: Repository, rollout: str) -> None:
    repository.write(yaml(1, rollout))
    refused = promptctl("export", "repository/prompts", "--force")
    assert (refused.code, "prompts/a/prompt.yaml" in refused.err) == (1, True), refused.err
    assert "correct that file, or export into another folder" in refused.err
    assert (repository.path / "prompts/a/prompt.yaml").read_text(encoding="utf-8") == f"active: 1\n{rollout}"


def test_the_plan_of_rollouts_on_screens(
    promptctl: Promptctl, repository: Repository, sync: Callable[..., Ended], snapshot: Callable[..., None]
) -> None:
    def seen(*words: str) -> str:
        shown = promptctl.on_terminal("sync", "repository/prompts", *words, columns=100).out
        return without_commits(shown)

    repository.commit(yaml(2, "rollout: default\n"))
    shown = [seen("--dry-run"), seen(), seen("--dry-run")]
    repository.commit(yaml(3, QUICK))
    shown += [seen("--dry-run"), without_commits(sync("--dry-run", "--format", "markdown").out)]
    repository.commit(yaml(1, QUICK))
    shown.append(seen())
    snapshot("\n---\n".join(shown), "sync-rollouts-terminal")


def without_commits(text: str) -> str:
    return stable(re.sub(r"\b(?!0{7}\b)[0-9a-f]{7}\b", "9f3c2ab", text))
