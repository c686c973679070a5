"""Finished series from a source, through an outbox, to destinations: who does what is put together here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rtbids import dicomnet
from rtbids.cli import cleaners, console, sources, statusline
from rtbids.cli.held import Noted
from rtbids.cli.outboxes import place
from rtbids.cli.sources import Live, Network
from rtbids.cli.stopping import stopping
from rtbids.errors import BadData, ConnectionLost, UsageFault
from rtbids.send import destinations, renaming
from rtbids.send.found import Found
from rtbids.send.outbox import Outbox
from rtbids.send.pool import Outcome, run
from rtbids.send.settings import Settings
from rtbids.send.states import State
from rtbids.stream import endpoints, fifo
from rtbids.wakeup import Wakeup
from rtbids.watch.finished import Finished, Rule


@dataclass(frozen=True)
class Cleanup:
    """What becomes of raw files that have arrived."""

    raw: Literal["keep", "delete", "move"] = "keep"
    archive: Path | None = None


@dataclass(frozen=True)
class Request:
    """What was asked for; see the options of the same names."""

    source: str
    destinations: tuple[str, ...]
    live: Live
    rules: cleaners.Rules
    cleanup: Cleanup
    outbox: Path | None
    database: str | None
    form: Literal["dicom", "nifti"]
    quiet_time: float
    time_out: float
    watermark: int
    workers: int
    processes: bool
    retries: int
    deidentify: bool
    proof: Literal["query", "status"]
    calling: str | None
    ca: Path | None
    client_cert: Path | None
    client_key: Path | None
    credentials: Path | None
    endpoint: str | None
    metrics: str | None
    open_timeout: float


def send(request: Request) -> None:
    """Send until stopped, or until all of a source that ends has arrived.

    Raises
    ------
    BadData
        Images are in ERROR.
    ConnectionLost
        Images wait for a destination that does not answer, or for identifiers.
    """
    _check(request)
    where = [destinations.parse(url, _access(request)) for url in request.destinations]
    folder = place(request.outbox)
    _check_apart(request, folder)
    with stopping() as stop:
        clean = cleaners.cleaner(request.rules, stop.wait).clean if request.deidentify else None
        _through(request, folder, where, clean, stop)


def _through(
    request: Request,
    folder: Path,
    where: Sequence[destinations.Destination],
    clean: Callable[[bytes], Any] | None,
    stop: Wakeup,
) -> None:
    with Outbox.open(folder, request.database) as outbox, _event(stop) as event:
        if not where:
            console.say("no DEST: images are de-identified and wait in the outbox")
        with closing(Noted(folder)) as noted, statusline.shown(outbox):
            batches = map(partial(_found, outbox), _batches(request, outbox, noted, stop))
            outcome = run(outbox, batches, where, clean, _settings(request), event)
        if not stop.is_set():
            _sum_up(outcome, outbox)


def _check(request: Request) -> None:
    """Say what is wrong with a request before anything is made or opened."""
    _port(request.metrics)
    if not request.deidentify and request.rules != cleaners.Rules({}):
        raise UsageFault("--key, --recipe and their like are of the de-identification that --no-deidentify leaves out")
    if not sources.is_network(request.source):
        if request.live.network != Network():
            raise UsageFault("--allow-* and --tls-* are of the DICOM network: expected dicom-scp://host:port")
        _form(request.source)


def _form(source: str) -> Literal["folder", "file", "stream", "network"]:
    """Say what SOURCE is."""
    if source == endpoints.STANDARD:
        return "stream"
    if sources.is_network(source):
        return "network"
    if sources.kind(source) == "bids":
        raise UsageFault(f"{source}: expected DICOM, found a BIDS data set")
    path = Path(source)
    if path.is_dir():
        return "folder"
    return "stream" if fifo.is_fifo(path) or path.suffix == ".tar" else "file"


def _check_apart(request: Request, outbox: Path) -> None:
    """Refuse an outbox inside what is watched: it would be sent itself."""
    watched = [request.source] if _form(request.source) == "folder" else []
    for folder in watched:
        for inner, name in ((outbox, "--outbox"), (request.cleanup.archive, "--cleanup move:DIR")):
            if inner is not None and inner.resolve().is_relative_to(Path(folder).resolve()):
                raise UsageFault(f"{inner} lies in {folder}, which is watched", f"give a {name} elsewhere")


def _access(request: Request) -> destinations.Access:
    return destinations.Access(
        calling=dicomnet.ae_title(request.calling) if request.calling else dicomnet.AE_TITLE,
        verify=request.proof,
        ca=request.ca,
        certificate=request.client_cert,
        key=request.client_key,
        credentials=request.credentials,
        endpoint=request.endpoint,
        as_nifti=request.form == "nifti",
    )


def _settings(request: Request) -> Settings:
    return Settings(
        raw=request.cleanup.raw,
        archive=request.cleanup.archive,
        workers=request.workers,
        processes=request.processes,
        attempts=request.retries + 1,
        patience=request.open_timeout,
        watermark=request.watermark,
        metrics=_port(request.metrics),
    )


def _port(text: str | None) -> int | None:
    """Read ``[HOST:]PORT``, where HOST is this machine."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if host not in ("", "localhost", "127.0.0.1") or not port.isdigit() or int(port) > 65535:
        raise UsageFault(f"--metrics: expected a port of this machine, such as 9464, found {text!r}")
    return int(port)


def _batches(request: Request, outbox: Outbox, noted: Noted, stop: Wakeup) -> Iterator[Finished]:
    """Return the finished batches of the source; what an earlier process has received comes first."""
    match _form(request.source):
        case "folder":
            return _of_folder(request, outbox, noted, stop)
        case "file":
            return iter([_of_file(Path(request.source))])
        case form:
            return _received(request, outbox, stop, listening=form == "network")


def _of_folder(request: Request, outbox: Outbox, noted: Noted, stop: Wakeup) -> Iterator[Finished]:
    from rtbids.watch import folders

    live = request.live

    def known(files: Sequence[Path]) -> bool:
        return outbox.knows(Found("", files[0].parent, tuple(files)))

    return folders.batches(
        Path(request.source),
        rule=Rule(request.quiet_time, request.time_out),
        existing=live.existing,
        wait=live.wait,
        idle_timeout=live.idle_timeout,
        poll=live.poll,
        stop=stop,
        on_mode=console.watching(request.source),
        on_held=noted.tell,
        known=known,
    )


def _of_file(path: Path) -> Finished:
    from rtbids.watch import complete

    complete.check(str(path))
    whole = path.resolve()
    return Finished(whole.name, whole.parent, (whole,))


def _received(request: Request, outbox: Outbox, stop: Wakeup, *, listening: bool) -> Iterator[Finished]:
    from rtbids.watch import series_scp, series_streams
    from rtbids.watch.associations import Guests, networks
    from rtbids.watch.incoming import Incoming

    live, network = request.live, request.live.network
    with closing(Incoming(outbox.folder.incoming, quiet=request.quiet_time, room=request.watermark)) as incoming:
        if live.existing:
            yield from incoming.leftovers(stop.is_set)
        if not listening:
            name = "standard input" if request.source == endpoints.STANDARD else request.source
            with endpoints.open_source(request.source, request.open_timeout) as file:
                yield from series_streams.batches(file, name, incoming, stop=stop)
        elif live.wait:
            yield from series_scp.batches(
                dicomnet.parse(request.source),
                incoming,
                guests=Guests(
                    frozenset(map(dicomnet.ae_title, network.allow_aet)) or None, networks(network.allow_host) or None
                ),
                tls=dicomnet.server_tls(network.tls_cert, network.tls_key, network.tls_ca),
                idle_timeout=live.idle_timeout,
                stop=stop,
                on_mode=console.watching(request.source),
            )


def _found(outbox: Outbox, finished: Finished) -> Found:
    if finished.renamed_from is not None:
        renaming.follow(outbox, finished.renamed_from, finished.root)
    return Found(finished.label, finished.root, finished.files, finished.spooled, finished.broken)


@contextmanager
def _event(stop: Wakeup) -> Iterator[threading.Event]:
    """Give an event that is set with `stop`."""
    event, over = threading.Event(), Wakeup()

    def follow() -> None:
        import select

        select.select([stop, over], [], [])
        event.set()

    thread = threading.Thread(target=follow, name="stop", daemon=True)
    thread.start()
    try:
        yield event
    finally:
        over.set()
        thread.join()


def _sum_up(outcome: Outcome, outbox: Outbox) -> None:
    """Say how it went; raise what tells those who only look at the exit code."""
    counts = outbox.status(per_page=1).images
    console.say(f"{outcome.sent} images sent")
    if errors := counts[State.ERROR]:
        raise BadData(f"{errors} images are in ERROR", "see which, and why: rtbids send status")
    if outcome.waiting:
        why = f" ({outcome.down[0]})" if outcome.down else ""
        raise ConnectionLost(f"{outcome.waiting} images wait{why}", "start rtbids send again: it goes on where it was")
