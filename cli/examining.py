"""What ``rtbids doctor`` looks at, by its arguments, and what it tells on the way and at the end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from rtbids import dicomnet
from rtbids.cli import console, doctor_screen
from rtbids.cli.asking import asker
from rtbids.cli.request import Live, Network
from rtbids.errors import Stopped, UsageFault
from rtbids.run.doctor.budget import sentence
from rtbids.run.doctor.examination import Examination, Tell, Wishes, exit_code
from rtbids.run.doctor.row import Finding, Row, plain
from rtbids.stream.ssh.address import SCHEME, Address
from rtbids.stream.ssh.keys import Ask
from rtbids.stream.ssh.settings import SshOptions
from rtbids.watch.associations import Guests

RECEIVER = "dicom-scp://"


def wishes(places: tuple[str, ...], repetition_time: float, live: Live, ssh: SshOptions) -> Wishes:
    """Read what is to be looked at; raise UsageFault where it is no place, or two of a kind."""
    found = Wishes(repetition_time, poll=live.poll, ssh=ssh)
    for text in places:
        new = _place(text, live.network)
        if any(getattr(found, name) is not None for name in new if name in ("folder", "far", "receiver")):
            raise UsageFault(f"{text}: one folder, one ssh:// and one dicom-scp:// at a time")
        found = replace(found, **new)
    if live.network != Network() and found.receiver is None:
        raise UsageFault("--allow-* and --tls-* are of the DICOM network: expected dicom-scp://host:port")
    return found if places else replace(found, folder=Path(), is_asked=False)


def _place(text: str, network: Network) -> dict[str, Any]:
    if text.startswith(SCHEME):
        return {"far": Address.parse(text)}
    if text.startswith(RECEIVER):
        return {"receiver": dicomnet.parse(text), "guests": Guests(network.aets, network.hosts), "tls": network.tls}
    if "://" in text:
        raise UsageFault(f"{text}: expected a folder, ssh://[user@]host or dicom-scp://[AET@]host:port")
    return {"folder": Path(text)}


def examine(wishes: Wishes, *, as_json: bool) -> int:
    """Look at everything and say what was found; return the exit code."""
    found: list[Finding] = []
    with ending_at_once(), _telling() as (tell, asking):
        examination = Examination(replace(wishes, ask=asking), tell)
        found += examination.findings()
    rows = [row for each in found for row in each.rows]
    said = sentence(examination.budget, rows)
    if as_json:
        click.echo(json.dumps(_fields(found, rows, said), ensure_ascii=False))
    else:
        doctor_screen.show(rows, said)
    return exit_code(rows)


def _fields(found: list[Finding], rows: list[Row], said: str) -> dict[str, object]:
    facts = {each.key: each.facts for each in found}
    return {"exit_code": exit_code(rows), "sentence": said, "facts": facts, "rows": [plain(row) for row in rows]}


@contextmanager
def _telling() -> Iterator[tuple[Tell, Ask | None]]:
    """Give what says on a line of the terminal what is being looked at, and what asks for a password there."""
    with console.stderr.status("") as line:
        line.stop()
        is_shown = console.stderr.is_terminal and not console.is_quiet()
        ask = asker()

        def tell(text: str) -> None:
            if is_shown:
                line.update(text)
                line.start()

        def asking(prompt: str) -> str:
            line.stop()
            assert ask is not None
            return ask(prompt)

        yield tell, None if ask is None else asking


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have the first signal end what is done, so that all is put away, and raise Stopped; further ones change nothing.

    Underway it is a KeyboardInterrupt, which nothing takes for a fault of what is being looked at.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        if not received:
            received.append(number)
            raise KeyboardInterrupt

    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN  # nohup
    ]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        raise Stopped(received[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if received else handler)  # all that is left to do is to say so
