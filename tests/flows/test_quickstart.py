"""The quickstart's own parts: what it backs up and changes, and that it calls nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backup_core.errors import ConfigError, SourceError
from backup_core.testing.trees import describe, make_tree
from flows import _sample
from flows._settings import server_environment

PROJECT = Path(__file__).resolve().parents[2]


def test_the_users_files_are_only_read(tmp_path: Path) -> None:
    mine = make_tree(tmp_path / "mine")
    before = describe(mine)
    sample = _sample.prepare(tmp_path / "home", mine)
    assert _sample.change(sample, "now") == "3 files added, 12 changed, 1 renamed, 3 deleted"
    assert describe(mine) == before
    assert sample.sources == (mine, sample.changing)


def test_a_second_run_keeps_what_the_first_one_prepared(tmp_path: Path) -> None:
    mine = make_tree(tmp_path / "mine", files=3)
    first = _sample.prepare(tmp_path / "home", mine)
    _sample.change(first, "now")
    before = describe(first.changing)
    assert describe(_sample.prepare(tmp_path / "home", mine).changing) == before


def test_a_home_inside_the_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inside what it backs up"):
        _sample.prepare(tmp_path / "mine" / "home", make_tree(tmp_path / "mine", files=1))
    with pytest.raises(SourceError, match="no directory"):
        _sample.prepare(tmp_path / "home", tmp_path / "nowhere")


def test_foreign_settings_of_prefect_are_dropped(tmp_path: Path) -> None:
    base = {"PREFECT_API_KEY": "of a server elsewhere", "PATH": "/bin", "no_proxy": "example.test"}
    made = server_environment(tmp_path, "http://127.0.0.1:1", base=base)
    assert "PREFECT_API_KEY" not in made
    assert made["PATH"] == "/bin"
    assert made["no_proxy"] == "example.test,127.0.0.1,localhost"
    assert made["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.slow
@pytest.mark.prefect
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_quickstart_calls_no_other_host(tmp_path: Path) -> None:
    """Every process of a whole run is watched: no connection, and no look-up of a name, leaves this machine."""
    mine = make_tree(tmp_path / "mine", files=5)
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-qq", "-e", "trace=connect,sendto", "-o", str(trace), sys.executable, "-m"]
    command += ["flows.quickstart", "--home", str(tmp_path / "home"), "--source", str(mine)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "SOURCE", "KEEP"))}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "equal their source, byte for byte" in done.stdout
    assert "RTO: all was back after" in done.stdout and "RPO:" in done.stdout
    outside = [
        line
        for line in trace.read_text(errors="replace").splitlines()
        if "AF_INET" in line and 'inet_addr("127.' not in line and '"::1"' not in line and "AF_UNSPEC" not in line
    ]
    assert outside == []
