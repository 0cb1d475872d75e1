from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path

import pytest

from promptctl.errors import Failed
from promptctl.postgres.embedded import location, server
from tests.postgres.embedded.support import PRELUDE, ROOT, START, account_of, needs_root, query, run


@pytest.mark.parametrize(
    "name", ["it's  50% & (more); #1 prömpt", "a, " + "l" * 100], ids=["quote, spaces, signs", "comma, long"]
)
def test_a_home_with_an_unusual_name_works(short_directory: Path, name: str) -> None:
    home = str(short_directory / name)
    server.start(home, create=True)
    assert query(home, "select 1") == "1"
    assert server.stop(home)
    server.start(home, create=False)
    assert query(home, "select 1") == "1"


@pytest.mark.parametrize("character", ['"', "$", "`", "\\", "\n"])
def test_a_home_with_a_character_that_postgresql_rejects_is_refused(short_directory: Path, character: str) -> None:
    home = str(short_directory / f"a{character}b")
    with pytest.raises(Failed, match="the path contains") as caught:
        server.start(home, create=True)
    assert caught.value.code == "data_directory_unusable"
    assert "\n" not in caught.value.message
    assert not os.path.exists(home)


def test_a_home_that_is_a_file_is_refused(home: str) -> None:
    Path(home).touch()
    with pytest.raises(Failed) as caught:
        server.start(home, create=True)
    assert caught.value.code == "data_directory_unusable"
    assert home in caught.value.message


def test_a_home_that_other_users_can_write_to_is_refused(short_directory: Path, home: str) -> None:
    for folder in (home, str(short_directory / "my own")):
        Path(folder).mkdir()
        Path(folder, "something").touch()
        Path(folder).chmod(0o777)
        with pytest.raises(Failed, match="other users can write to it") as caught:
            server.start(folder, create=True)
        assert caught.value.code == "data_directory_unusable"
        assert caught.value.hint is not None
        assert shlex.split(caught.value.hint) == ["chmod", "go-w", folder]


def test_our_own_empty_directory_becomes_a_home_with_a_corrected_mode(home: str) -> None:
    Path(home).mkdir(mode=0o700)
    server.start(home, create=True)
    assert os.stat(home).st_mode & 0o777 == (0o755 if ROOT else 0o700)


@needs_root
def test_root_refuses_a_home_of_another_user(ordinary_user: tuple[int, str]) -> None:
    uid, directory = ordinary_user
    assert uid
    with pytest.raises(Failed, match="it belongs to nobody") as caught:
        server.start(directory, create=True)
    assert caught.value.hint == "run as nobody, or set PROMPTCTL_HOME"
    assert os.listdir(directory) == []


@needs_root
def test_a_user_id_without_a_name_is_an_error(short_directory: Path) -> None:
    short_directory.chmod(0o777)
    script = "os.setgroups([]); os.setuid(54321)\ntry: server.start(home, create=True)\nexcept PromptctlError as e: "
    result = run(
        "import json, pwd, fcntl, psycopg\n" + PRELUDE + script + "print(json.dumps([e.code, e.message]))",
        str(short_directory / "home"),
    )
    error = dict(zip(("code", "message"), json.loads(result.stdout), strict=True))
    assert error["code"] == "no_server_user"
    assert error["message"].startswith("user id 54321 has no name")
    shutil.rmtree(short_directory / "home")


@needs_root
def test_root_refuses_a_home_that_the_server_user_cannot_reach(short_directory: Path) -> None:
    private = short_directory / "private"
    private.mkdir(mode=0o700)
    with pytest.raises(Failed, match="cannot reach it"):
        server.start(str(private / "home"), create=True)


def test_an_error_names_a_home_that_is_not_writable(ordinary_user: tuple[int, str]) -> None:
    uid, directory = ordinary_user
    os.chmod(directory, 0o500)
    script = PRELUDE + "try: server.start(home, create=True)\nexcept PromptctlError as e: print(e.code, e.message)"
    try:
        result = run(script, f"{directory}/home", uid=uid)
    finally:
        os.chmod(directory, 0o700)
    expected = f"data_directory_unusable '{directory}/home' cannot hold the embedded database: Permission denied\n"
    assert result.stdout == expected, result.stderr


def test_root_does_not_connect_to_the_server_of_an_ordinary_user(ordinary_user: tuple[int, str]) -> None:
    uid, directory = ordinary_user
    home = f"{directory}/home"
    select_one = "import psycopg\nprint(psycopg.connect(**location.conninfo(home)).execute('select 1').fetchone())"
    result = run(START + select_one, home, uid=uid)
    assert result.stdout == "(1,)\n", result.stderr
    assert os.stat(home).st_uid == uid
    if os.geteuid() != uid:
        with pytest.raises(Failed, match="it belongs to"):
            location.conninfo(home)


@needs_root
def test_an_ordinary_user_cannot_connect_to_roots_server(stopped_home: str, ordinary_user: tuple[int, str]) -> None:
    server.start(stopped_home, create=False)
    script = PRELUDE + (
        "import psycopg\n"
        "keywords = {'host': location.socket_directory(home), 'user': 'promptctl', 'dbname': 'promptctl'}\n"
        "try: psycopg.connect(**keywords)\n"
        "except psycopg.Error as e: print(e)\n"
        "try: location.conninfo(home)\n"
        "except PromptctlError as e: print(e)"
    )
    uid = ordinary_user[0]
    if account_of(stopped_home).pw_uid == uid:
        pytest.skip("this user is the server's")
    result = run(script, stopped_home, uid=uid)
    assert "Permission denied" in result.stdout, result.stderr
    assert "it belongs to root" in result.stdout
