"""Finished batches of a source, as an outbox takes them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtbids import dicomnet
from rtbids.cli import console
from rtbids.cli.held import Noted
from rtbids.cli.request import Live, is_network, kind_of
from rtbids.errors import UsageFault
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.stream import endpoints, fifo
from rtbids.wakeup import Wakeup
from rtbids.watch.finished import Finished, Rule

Form = Literal["folder", "file", "stream", "network"]


@dataclass(frozen=True)
class Source:
    """Where batches come from and how they are taken; `room` are bytes that stay free on the disk."""

    place: str
    live: Live
    rule: Rule
    room: int
    open_timeout: float

    @property
    def form(self) -> Form:
        """What it is."""
        if self.place == endpoints.STANDARD:
            return "stream"
        if is_network(self.place):
            return "network"
        if kind_of(self.place) == "bids":
            raise UsageFault(f"{self.place}: expected DICOM, found a BIDS data set")
        path = Path(self.place)
        if path.is_dir():
            return "folder"
        return "stream" if fifo.is_fifo(path) or path.suffix == ".tar" else "file"


def batches(source: Source, outbox: Outbox, noted: Noted, stop: Wakeup) -> Iterator[Found]:
    """Return the finished batches of a source; what an earlier process has received comes first."""
    return map(_found, _finished(source, outbox, noted, stop))


def _finished(source: Source, outbox: Outbox, noted: Noted, stop: Wakeup) -> Iterator[Finished]:
    match source.form:
        case "folder":
            return _of_folder(source, outbox, noted, stop)
        case "file":
            return iter([_of_file(Path(source.place))])
        case form:
            return _received(source, outbox, stop, listening=form == "network")


def _of_folder(source: Source, outbox: Outbox, noted: Noted, stop: Wakeup) -> Iterator[Finished]:
    from rtbids.watch import folders

    def known(files: Sequence[Path]) -> bool:
        return outbox.knows(Found("", files[0].parent, tuple(files)))

    return folders.batches(
        Path(source.place),
        rule=source.rule,
        existing=source.live.existing,
        wait=source.live.wait,
        idle_timeout=source.live.idle_timeout,
        poll=source.live.poll,
        stop=stop,
        on_mode=console.watching(source.place),
        on_held=noted.tell,
        known=known,
    )


def _of_file(path: Path) -> Finished:
    from rtbids.watch import complete

    complete.check(str(path))
    whole = path.resolve()
    return Finished(whole.name, whole.parent, (whole,))


def _received(source: Source, outbox: Outbox, stop: Wakeup, *, listening: bool) -> Iterator[Finished]:
    """Receive series; what was acknowledged and left by a process that was killed is ours, and goes in any case."""
    from rtbids.watch import series_streams
    from rtbids.watch.incoming import Incoming

    with closing(Incoming(outbox.folder.incoming, quiet=source.rule.quiet, room=source.room)) as incoming:
        yield from incoming.leftovers(stop.is_set)
        if not listening:
            name = "standard input" if source.place == endpoints.STANDARD else source.place
            with endpoints.open_source(source.place, source.open_timeout) as file:
                yield from series_streams.batches(file, name, incoming, stop=stop)
        elif source.live.wait:
            from rtbids.watch import series_scp
            from rtbids.watch.associations import Guests

            network = source.live.network
            yield from series_scp.batches(
                dicomnet.parse(source.place),
                incoming,
                guests=Guests(network.aets, network.hosts),
                tls=network.tls,
                idle_timeout=source.live.idle_timeout,
                stop=stop,
                on_mode=console.watching(source.place),
            )


def _found(finished: Finished) -> Found:
    return Found(
        finished.label, finished.root, finished.files, finished.spooled, finished.broken, renamed_from=finished.renamed_from
    )
