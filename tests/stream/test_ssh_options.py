"""What commands take that connect over SSH, and the terminal that is asked for passwords."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from rtbids.cli import main
from rtbids.cli.options import ssh_options
from rtbids.stream.ssh.settings import FAR_COMMAND, SshOptions

taken: list[SshOptions] = []


@click.command
@ssh_options
def command(ssh: SshOptions) -> None:
    taken.append(ssh)


def test_options_are_taken_as_they_are_given() -> None:
    arguments = ["--identity", "key", "--known-hosts", "hosts", "--host-key-fingerprint", "SHA256:abc"]
    assert main.run(command, [*arguments, "--remote-command", "docker run -i site rtbids far"]) == 0
    assert taken.pop() == SshOptions(Path("key"), Path("hosts"), "SHA256:abc", "docker run -i site rtbids far")


def test_without_options_rtbids_is_looked_for_on_the_far_side() -> None:
    assert main.run(command, []) == 0
    assert taken.pop() == SshOptions(remote_command=FAR_COMMAND)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_the_far_command_finds_what_pip_has_put_into_the_home(shell: str, tmp_path: Path) -> None:
    program = tmp_path / ".local" / "bin" / "rtbids"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho found $1\n")
    program.chmod(0o755)
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([shell, "-c", FAR_COMMAND], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "found far\n"


def test_a_fingerprint_of_another_form_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(command, ["--host-key-fingerprint", "MD5:12:34"]) == 64
    assert "expected SHA256:" in capsys.readouterr().err


def test_nobody_is_asked_where_there_is_no_terminal() -> None:
    source = "from rtbids.cli.asking import asker; print(asker())"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, start_new_session=True)
    assert done.stdout == "None\n"
