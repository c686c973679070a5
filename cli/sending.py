"""Finished series from a source, through an outbox, to destinations: who does what is put together here."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rtbids import dicomnet
from rtbids.cli import arrivals, cleaners, console, sent, statusline
from rtbids.cli.amounts import Cleanup
from rtbids.cli.held import Noted
from rtbids.cli.outboxes import named, place
from rtbids.cli.request import Live, Network, is_network
from rtbids.cli.stopping import stopping
from rtbids.errors import InputMissing, UsageFault
from rtbids.send import destinations
from rtbids.send.outbox import Outbox
from rtbids.send.pool import run
from rtbids.send.settings import Settings
from rtbids.wakeup import Wakeup
from rtbids.watch.finished import Rule


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
    mark_failed: bool
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
    CannotWrite
        There is no room for what is left, in the outbox or where raw files are moved.
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
        rules = _rules(request)
        clean = cleaners.cleaner(request.rules, stop.wait).clean if request.deidentify else None
        if rules != _rules(request):
            raise UsageFault("the recipe or the key was changed while it was read", "start again")
        _through(request, folder, where, clean, rules, stop)


def _rules(request: Request) -> str:
    return cleaners.rules_digest(request.rules) if request.deidentify else ""


def _through(
    request: Request,
    folder: Path,
    where: Sequence[destinations.Destination],
    clean: Callable[[bytes], Any] | None,
    rules: str,
    stop: Wakeup,
) -> None:
    with Outbox.open(folder, request.database) as outbox, _event(stop) as event:
        outbox.named = named(request.outbox, request.database)
        if not where:
            console.say("no DEST: images are de-identified and wait in the outbox")
        with closing(Noted(folder)) as noted, statusline.shown(outbox):
            batches = arrivals.batches(_source(request), outbox, noted, stop)
            outcome = run(outbox, batches, where, clean, _settings(request, rules), event)
        if stop.is_set():
            sent.so_far(outcome)
        else:
            sent.sum_up(outcome, outbox, noted.held)


def _check(request: Request) -> None:
    """Say what is wrong with a request before anything is made or opened."""
    _port(request.metrics)
    _check_endpoint(request)
    _check_word(request.source)
    if not request.deidentify and request.rules != cleaners.Rules({}):
        raise UsageFault("--key, --recipe and their like are of the de-identification that --no-deidentify leaves out")
    if not is_network(request.source):
        if request.live.network != Network():
            raise UsageFault("--allow-* and --tls-* are of the DICOM network: expected dicom-scp://host:port")
        _ = _source(request).form


def _source(request: Request) -> arrivals.Source:
    rule = Rule(request.quiet_time, request.time_out)
    return arrivals.Source(request.source, request.live, rule, request.watermark, request.open_timeout)


def _check_apart(request: Request, outbox: Path) -> None:
    """Refuse to write into what is watched: it would be sent itself, again and again."""
    if _source(request).form != "folder":
        return
    watched = Path(request.source).resolve()
    places = [(outbox, "--outbox"), (request.cleanup.archive, "--cleanup move:DIR")]
    places += [(folder, "DEST") for folder in map(destinations.folder, request.destinations)]
    for inner, name in places:
        if inner is not None and inner.resolve().is_relative_to(watched):
            raise UsageFault(f"{inner} lies in {request.source}, which is watched", f"give a {name} elsewhere")


def _check_word(source: str) -> None:
    """Say which command was meant by a word that is nearly one, and no path."""
    from rtbids.cli.send import command

    if not Path(source).exists() and (close := difflib.get_close_matches(source, command.commands, n=1)):
        raise InputMissing(f"{source}: no such file or folder", f"did you mean rtbids send {close[0]}?")


def _check_endpoint(request: Request) -> None:
    """Refuse an address that nobody would be asked at: images would go to another service than was meant."""
    if request.endpoint is not None and not any(url.lower().startswith("s3://") for url in request.destinations):
        hint = "gs:// takes it from STORAGE_EMULATOR_HOST, az:// from AZURE_STORAGE_CONNECTION_STRING"
        raise UsageFault("--endpoint is of s3://, and there is none", hint)


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


def _settings(request: Request, rules: str) -> Settings:
    return Settings(
        rules=rules,
        key=cleaners.key_fingerprint(request.rules) if request.deidentify else "",
        raw=request.cleanup.raw,
        archive=request.cleanup.archive,
        mark_failed=request.mark_failed,
        workers=request.workers,
        processes=request.processes,
        attempts=request.retries + 1,
        patience=request.open_timeout,
        room=None if request.live.wait else request.open_timeout,
        watermark=request.watermark,
        metrics=_port(request.metrics),
        source=Path(request.source).resolve() if _source(request).form == "folder" else None,
    )


def _port(text: str | None) -> int | None:
    """Read ``[HOST:]PORT``, where HOST is this machine."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if host not in ("", "localhost", "127.0.0.1") or not port.isdigit() or int(port) > 65535:
        raise UsageFault(f"--metrics: expected a port of this machine, such as 9464, found {text!r}")
    return int(port)


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
