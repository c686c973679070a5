"""A PostgreSQL server for tests: its own, on a free port of this machine, gone with them."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path

import pytest


def binaries() -> Path:
    """Return the folder of the server's programs, or skip."""
    found = shutil.which("initdb")
    folders = sorted(glob("/usr/lib/postgresql/*/bin"))
    if found is None and not folders:
        pytest.skip("no PostgreSQL server here (initdb)")
    return Path(found).parent if found else Path(folders[-1])


def _user() -> list[str]:
    """Return what runs a program as somebody who is not root: initdb refuses root."""
    if os.geteuid() != 0:
        return []
    names = [name for name in ("postgres", "nobody") if name in {user.pw_name for user in pwd.getpwall()}]
    if not names or shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL does not run as root, and there is no other user here")
    user = pwd.getpwnam(names[0])
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def server() -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a server; give the URL of its first database, and what starts it anew without a word to who is connected."""
    pytest.importorskip("psycopg")
    programs, user = binaries(), _user()
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        place = Path(folder)
        if user:
            os.chown(place, int(user[1].partition("=")[2]), -1)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        states = place / "states"
        arguments = ["-D", str(states), "-A", "trust", "-U", "rtbids", "--no-sync", "-E", "UTF8", "--no-locale"]
        quiet = {
            "cwd": place,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        subprocess.run([*user, str(programs / "initdb"), *arguments], check=True, **quiet)
        options = f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -c max_connections=200 -F"
        control = [*user, str(programs / "pg_ctl"), "-D", str(states)]
        begin = [*control, "-w", "-o", options, "-l", str(place / "log")]
        subprocess.run([*begin, "start"], check=True, **quiet)

        def restart() -> None:
            subprocess.run([*begin, "-m", "immediate", "restart"], check=True, **quiet)

        try:
            yield f"postgresql://rtbids@127.0.0.1:{port}/postgres", restart
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, **quiet)
