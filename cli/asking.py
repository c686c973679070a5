"""Asking for what nobody else may see, in the terminal and nowhere else."""

from __future__ import annotations

import getpass
import os

from rtbids.stream.ssh.keys import Ask


def asker() -> Ask | None:
    """Return what asks in the terminal, whatever standard input is; None where there is no terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    return getpass.getpass
