"""The commands of docs/backup.md run as written."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from tests.conftest import ROOT, SERVERS


def test_the_commands_of_the_backup_page_run_as_written(embedded_home: dict[str, str]) -> None:
    psql = next(iter(SERVERS.values()))
    env = embedded_home | {"PATH": f"{embedded_home['PATH']}:{psql}"}
    # The user of the restored server can reach this folder, but not the home of a test.
    folder = Path(env["PROMPTCTL_HOME"]).parent

    def run(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-ec", script], env=env, cwd=folder, capture_output=True, text=True, check=False
        )

    assert run("promptctl create support 'Be kind.' --activate").returncode == 0
    try:
        page = (ROOT / "docs" / "backup.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```sh\n(.*?)^```$", page, flags=re.M | re.S)
        assert len(blocks) == 5
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        ended = [run(block.replace("5433", port)) for block in blocks]
        assert [done.returncode for done in ended] == [0, 0, 0, 0, 0], ended
        assert "no problems found in the embedded database" in ended[2].stderr
        assert ended[3].stdout.split()[2] == "1"
        assert ended[4].stdout.endswith(f"@127.0.0.1:{port}/promptctl\n")
        shown = run('PROMPTCTL_HOME="$PWD/restored" promptctl show support --quiet')
        assert shown.stdout == "support@1\n"
    finally:
        run('PROMPTCTL_HOME="$PWD/restored" promptctl db stop')
