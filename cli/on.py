"""``rtbids run --on``: the scripts on another machine, everything else here."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rtbids.cli import console
from rtbids.cli.asking import asker
from rtbids.errors import UsageFault
from rtbids.run.far.seats import FarLauncher
from rtbids.run.progress import Linked, Progress
from rtbids.run.resources import Resources
from rtbids.stream.link import Link
from rtbids.stream.ssh.address import Address
from rtbids.stream.ssh.dial import dial
from rtbids.stream.ssh.settings import SshOptions

VERB = "experiment"
EVERY = 0.5  # seconds between two looks at the connection
_ANSWER = 30.0  # seconds for the far side to start
_LARGE = 1_000_000  # bytes of a file whose copying is said


@contextmanager
def launcher(
    place: str,
    ssh: SshOptions,
    progress: Progress,
    stays: Collection[Path] = (),
    sender: str = "",
    typed: dict[str, str] | None = None,
) -> Iterator[FarLauncher]:
    """Give what starts scripts at `place`, where nothing that `stays` is copied to; raise what stands in the way of that.

    Scripts there of an earlier run of the same `sender` that was killed are ended. `typed` are passwords that were asked for.
    """
    address = Address.parse(place)
    if address.path:
        raise UsageFault(f"--on: expected ssh://[user@]host[:port], found {place}", "what follows the host has no meaning here")
    link = dial(address, ssh, VERB, {"sender": sender} if sender else {}, asker(), typed)
    try:
        link.wait_up(_ANSWER)
    except BaseException:
        link.close()
        raise
    far = FarLauncher(link, stays)
    over = threading.Event()
    try:
        console.say(f"scripts run on {address.host}")
        threading.Thread(target=_show, args=(link, far, address.host, progress, over), name="connection", daemon=True).start()
        yield far
    finally:
        over.set()
        far.close()


def _show(link: Link, far: FarLauncher, place: str, progress: Progress, over: threading.Event) -> None:
    said: set[str] = set()
    while not over.wait(EVERY):
        progress.link = linked(link, place, far.resources)
        for file in far.copying:
            if file.size >= _LARGE and file.sha256 not in said:
                said.add(file.sha256)
                console.say(f"copying {file.name.partition('/')[2]} ({file.size / 1e6:.0f} MB) to {place}")


def show_source(progress: Progress, link: Link, place: str) -> None:
    """Show how the connection to a source stands until it is over."""

    def show() -> None:
        while not link.is_over:
            progress.link = linked(link, place)
            time.sleep(EVERY)

    threading.Thread(target=show, name="connection", daemon=True).start()


def linked(link: Link, place: str, resources: Resources | None = None) -> Linked:
    """Return how the connection stands, for the screen and for who asks for the run's status."""
    state = link.state
    return Linked(
        place,
        state.is_up,
        state.since,
        state.cuts,
        state.waiting_members,
        state.waiting_bytes,
        state.dropped,
        state.round_trip,
        state.offset,
        state.uncertainty,
        resources,
    )
