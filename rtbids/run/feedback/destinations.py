"""Where feedback goes: standard output, a file, a named pipe, UDP, TCP, Lab Streaming Layer, a web page, another machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rtbids.errors import RtbidsError, StreamBroken, UsageFault, cannot_write
from rtbids.run.feedback import lsl, sockets
from rtbids.run.feedback.datagrams import Datagrams
from rtbids.run.feedback.feedback import COLUMNS, Destination, as_json, as_tsv
from rtbids.run.feedback.line_server import LineServer
from rtbids.run.feedback.queued import Lines, Queued, Sink, write_whole
from rtbids.run.feedback.web_hook import Publication
from rtbids.stream import endpoints, fifo

WEB = "ws:"
OpenFar = Callable[[str, float, Callable[[str], None]], Destination]
logger = logging.getLogger("rtbids")


def open_all(
    destinations: Sequence[str],
    timeout: float = fifo.OPEN_TIMEOUT,
    *,
    servers: Mapping[str, LineServer] | None = None,
    say: Callable[[str], None] = logger.info,
    far: OpenFar | None = None,
) -> list[Destination]:
    """Open every destination, or none: those already open are closed where one fails.

    Parameters
    ----------
    timeout
        Seconds that a named pipe's reader is waited for.
    servers
        TCP servers that take responses already, by address: feedback to the same address leaves by them.
    say
        Told where a server listens, with the port that it was given.
    far
        Opens a place on another machine, ``ssh://…``.
    """
    opened: list[Destination] = []
    try:
        for endpoint in destinations:
            opened.append(_open(endpoint, timeout, servers or {}, say, far))
    except RtbidsError:
        for destination in opened:
            destination.close()
        raise
    return opened


def _open(
    endpoint: str, timeout: float, servers: Mapping[str, LineServer], say: Callable[[str], None], far: OpenFar | None
) -> Destination:
    if endpoint == endpoints.STANDARD:
        return Queued("standard output", Lines(os.dup(1), as_json), live=True)
    if (sink := _live_sink(endpoint)) is not None:
        return Queued(endpoint, sink, live=True)
    match endpoints.scheme(endpoint):
        case "tcp":
            return _server(sockets.parse(endpoint), servers, say)
        case "ssh" if far is not None:
            return far(endpoint, timeout, say)
        case None:
            return _file(Path(endpoint), timeout)
        case scheme:
            raise UsageFault(
                f"{endpoint}: feedback does not go to {scheme}",
                "it goes to -, a file, a named pipe, udp://host:port, tcp://host:port, lsl:NAME or ssh://host/PATH",
            )


def _live_sink(endpoint: str) -> Sink | None:
    if endpoint.startswith(lsl.SCHEME):
        return lsl.Outlets(lsl.name_of(endpoint))
    if endpoint.startswith(WEB):
        return Publication()
    if endpoint.startswith("udp:"):
        return Datagrams(sockets.parse(endpoint))
    return None


def _server(address: sockets.Address, servers: Mapping[str, LineServer], say: Callable[[str], None]) -> LineServer:
    if (shared := servers.get(str(address))) is not None:
        return shared
    server = LineServer(address)
    say(f"feedback at {server.name}")
    if sockets.is_open_to_others(address):
        logger.info("%s: whoever reaches this port can read the feedback", server.name)
    return server


def _file(path: Path, timeout: float) -> Destination:
    if fifo.is_fifo(path):
        return Queued(str(path), Lines(pipe(path, timeout), as_json), live=True)
    descriptor = _begun_anew(path)
    if path.suffix != ".tsv":
        return Queued(str(path), Lines(descriptor, as_json), live=False)
    try:
        write_whole(descriptor, ("\t".join(COLUMNS) + "\n").encode())
    except OSError as error:
        os.close(descriptor)
        raise cannot_write(path, error) from None
    return Queued(str(path), Lines(descriptor, as_tsv), live=False)


def _begun_anew(path: Path) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from None


def pipe(path: Path, timeout: float) -> int:
    """Open a named pipe to write, its reader being there."""
    try:
        with fifo.open_writer(path, timeout) as file:
            return os.dup(file.fileno())
    except StreamBroken as error:
        raise StreamBroken(f"feedback: {error}", error.hint) from None
