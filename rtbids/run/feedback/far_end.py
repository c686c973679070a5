"""The far end of feedback to a place on another machine: brings each line out, and says when."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rtbids.clock import CLOCK
from rtbids.errors import StreamBroken, UsageFault, cannot_write
from rtbids.run.feedback import destinations, sockets
from rtbids.run.feedback.across import BEGIN, FILE, LINE, TOLD
from rtbids.run.feedback.datagrams import Datagrams
from rtbids.run.feedback.feedback import Row, as_json
from rtbids.run.feedback.line_server import LineServer
from rtbids.run.feedback.queued import Lines, Sink
from rtbids.stream import fifo
from rtbids.stream.link import Link


class Place(Protocol):
    """Where lines are brought. `name`: what people call it."""

    kind: str
    name: str

    def begin(self, said: Mapping[str, Any]) -> None: ...
    def take(self, said: Mapping[str, Any]) -> float | None: ...
    def close(self) -> None: ...


def serve(link: Link, place: Place) -> None:
    """Bring what comes over a link to a place until the other side's end; say of each line when that was, if it was."""
    for arrived in link.members():
        said = _said(link, arrived.member.name, bytes(arrived.member.content))
        try:
            if arrived.member.name == BEGIN:
                place.begin(said)
            else:
                link.send(TOLD, json.dumps({"number": int(said["number"]), "at": place.take(said)}).encode())
        except (KeyError, TypeError, ValueError) as error:
            raise StreamBroken(f"{link.where}: {arrived.member.name} is none ({error})") from None
        except BrokenPipeError:
            raise StreamBroken(f"{place.name}: its reader has gone") from None
        except OSError as error:
            raise cannot_write(Path(place.name), error) from None
        link.settle(arrived.number)


def _said(link: Link, name: str, content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content) if name in (BEGIN, LINE) else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StreamBroken(f"{link.where}: expected a line of feedback, found {name[:80]!r}")
    return found


def at_path(path: Path, timeout: float) -> Place:
    """Open a named pipe, whose reader is waited for, or a file, which is begun anew once the first line comes."""
    if fifo.is_fifo(path):
        return Live("pipe", str(path), Lines(destinations.pipe(path, timeout), as_json))
    return File(path)


def at_address(address: sockets.Address) -> Place:
    """Open a UDP or TCP address."""
    if address.scheme == "udp":
        return Live("udp", str(address), Datagrams(address))
    server = _Served(LineServer(address))
    return Live("tcp", server.name, server)


class File:
    """A file: a line is written where it says that it stands."""

    kind = FILE

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise cannot_write(path, error) from None

    def begin(self, said: Mapping[str, Any]) -> None:
        os.ftruncate(self._descriptor, 0)
        self._write(str(said["text"]), 0)

    def take(self, said: Mapping[str, Any]) -> float:
        self._write(str(said["text"]), int(said["at"]))
        return CLOCK.now()

    def close(self) -> None:
        os.close(self._descriptor)

    def _write(self, text: str, at: int) -> None:
        view = memoryview(text.encode())
        while view:
            written = os.pwrite(self._descriptor, view, at)
            view, at = view[written:], at + written


class Live:
    """A pipe or a port: what comes too late is left out."""

    def __init__(self, kind: str, name: str, sink: Sink) -> None:
        self.kind = kind
        self.name = name
        self._sink = sink

    def begin(self, said: Mapping[str, Any]) -> None:
        raise UsageFault(f"{self.name}: is no file")

    def take(self, said: Mapping[str, Any]) -> float | None:
        until, row = said.get("until"), dict(said["row"])
        if isinstance(until, int | float) and CLOCK.now() > until:
            return None
        self._sink.write(row)
        return CLOCK.now()

    def close(self) -> None:
        self._sink.close()


class _Served:
    """A TCP server as what lines are written to."""

    def __init__(self, server: LineServer) -> None:
        self.name = server.name
        self._server = server

    def write(self, row: Row) -> None:
        self._server.send(row)

    def close(self) -> None:
        self._server.close()
