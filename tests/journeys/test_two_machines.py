"""The how-to of a control-room machine and a cloud machine, typed as it is written, each line on its machine."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import machines
import nibabel
import numpy as np
import pytest
from machines import Machine

from rtbids.replay import scanner
from rtbids.replay.phantom import Phantom

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAGE = Path("docs", "how-to", "analyse-on-another-machine.rst")
PHANTOM = Phantom(shape=(16, 16, 9), voxel=(12.0, 12.0, 12.0), repetition_time=0.5, volumes=8, block=4)
# In place of what ``venv`` makes and what ``pip`` fetches: the environment of the tests.
PYTHON = """#!/bin/sh
mkdir -p ~/rtbids/bin
cd ~/rtbids/bin
echo 'PATH=~/rtbids/bin:$PATH' > activate
echo '#!/bin/sh' > pip
printf %s {rtbids} > rtbids
chmod +x pip rtbids
"""
# Who sits there: he takes the key that he has compared, and types the password of the cloud machine.
PERSON = '#!/bin/sh\ncase "$1" in *yes/no*) echo yes ;; *password*) echo "{}" ;; esac\n'

LISTENER = "exec 3< /dev/tcp/127.0.0.1/5555; echo connected; exec cat <&3"


def lines(title: str, repository: Path) -> list[str]:
    """Return what is typed at ``$`` under a title of the page."""
    text = (repository / PAGE).read_text(encoding="utf-8")
    (section,) = re.findall(rf"^{title}\n-+\n(.*?)(?=^[^\n]+\n---+\n)", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip()[2:] for line in section.splitlines() if line.startswith("   $ ")]


@pytest.fixture
def rooms() -> Iterator[tuple[Machine, Machine]]:
    with machines.two() as (console, cloud):
        machines.join(console, cloud)
        cloud.serve_ssh()
        yield console, cloud


def test_ten_lines_a_machine_are_enough(rooms, repository):
    console, cloud = rooms
    for machine in rooms:
        machine.put("bin/python3", PYTHON.format(rtbids=shlex.quote(machines.RTBIDS)))
    there, here = lines("On the cloud machine", repository), lines("In the control room", repository)
    assert max(len(there), len(here)) <= 10
    shown = typed(cloud, there)
    console.put("bin/person", PERSON.format(machines.PASSWORD))
    *before, run = here
    typed(console, before)
    assert fingerprint(console) in shown
    feedback, said = a_run(console, run)
    assert len(feedback) == PHANTOM.volumes, said
    assert {line["volume"] for line in feedback if line["status"] == "ok"}, feedback
    assert "scripts run on cloud" in said
    assert "Traceback" not in said
    (image,) = (console.home / "study").rglob("*_bold.nii.gz")
    truth = np.stack([PHANTOM.volume(n) for n in range(PHANTOM.volumes)], axis=3)
    assert np.array_equal(np.asarray(nibabel.load(image).dataobj), truth)


def typed(machine: Machine, commands: list[str]) -> str:
    """Type lines into one terminal; each has to succeed. Return what was said."""
    script = "\n".join(["PATH=~/bin:$PATH", "set -e", *commands])
    asked = {"SSH_ASKPASS": "/home/me/bin/person", "SSH_ASKPASS_REQUIRE": "force"}
    done = subprocess.run(machine.login(script, asked), input="\n\n\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def fingerprint(console: Machine) -> str:
    """Return that of the key which the control room has taken for the cloud machine's."""
    known = typed(console, ["ssh-keygen -F cloud -l"])
    (found,) = re.findall(r"ED25519 (SHA256:\S+)", known)
    return found


def a_run(console: Machine, command: str) -> tuple[list[dict], str]:
    """Run as written while a scanner exports, listen as a stimulus program does, and end it by Ctrl-C."""
    script = f"source ~/rtbids/bin/activate\nexec {command}"
    run = subprocess.Popen(console.login(script), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    assert run.stderr is not None
    said = []
    while b"watching" not in (line := run.stderr.readline()):
        assert line, b"".join(said).decode()
        said.append(line)
    heard = subprocess.Popen(console.login(LISTENER), stdout=subprocess.PIPE)
    assert heard.stdout is not None
    assert heard.stdout.readline() == b"connected\n"
    scanner.scan(scanner.dicoms(PHANTOM), console.root / "data" / "export", interval=PHANTOM.repetition_time)
    feedback = {}
    while len(feedback) < PHANTOM.volumes:
        line = json.loads(heard.stdout.readline())
        feedback[line["volume"]] = line
    console.do("pkill", "-INT", "-f", "rtbids run")
    said.append(run.communicate(timeout=60)[1])
    heard.communicate()
    return list(feedback.values()), b"".join(said).decode()
