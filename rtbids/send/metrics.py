"""What Prometheus may ask an outbox, on this machine only; no identifiers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

from rtbids.errors import CannotWrite, RtbidsError
from rtbids.send.status import Status, status
from rtbids.send.steps import DAY

if TYPE_CHECKING:
    from rtbids.send.outbox import Outbox

logger = logging.getLogger("rtbids")
HOST = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[str, float]  # labels, value


def today(outbox: Outbox, now: float) -> dict[str, int]:
    """Return how many bytes have arrived at each destination on this day of UTC."""
    with outbox.database.reading() as transaction:
        rows = transaction.rows(
            "SELECT url, y.bytes FROM day y JOIN destination d ON d.id = y.destination WHERE day = ? ORDER BY d.id",
            (int(now // DAY),),
        )
    return {str(url): int(size) for url, size in rows}


def text(outbox: Outbox) -> str:
    """Return the metrics in the text format of Prometheus."""
    return "".join(_lines(outbox))


def _lines(outbox: Outbox) -> Iterator[str]:
    now = status(outbox, per_page=0)
    with outbox.database.reading() as transaction:
        [[batches, seconds]] = transaction.rows("SELECT batches, seconds FROM finished")
    yield from _metric("images", "gauge", "Images in the outbox.", [(_label(state=s), n) for s, n in now.images.items()])
    yield from _metric("batches", "gauge", "Batches in the outbox.", [(_label(state=s), n) for s, n in now.batches.items()])
    yield from _metric("batches_with_errors", "gauge", "Batches of which an image is in error.", [("", now.with_errors)])
    age = 0.0 if now.oldest is None else now.now - now.oldest
    yield from _metric("oldest_waiting_seconds", "gauge", "Since when the image that waits longest has been here.", [("", age)])
    yield from _metric("paused", "gauge", "Whether workers wait, as for room on the disk.", [("", len(now.paused))])
    yield from _metric("working_processes", "gauge", "Processes that work on the outbox.", [("", now.working)])
    yield from _metric("free_bytes", "gauge", "Free on the disk of the outbox.", [("", now.free)])
    yield from _metric("batches_done_total", "counter", "Batches that arrived whole.", [("", batches)])
    yield from _metric("batch_seconds_total", "counter", "From taken in to arrived, of all of these together.", [("", seconds)])
    yield from _destinations(now, today(outbox, now.now))


def _destinations(now: Status, arrived: dict[str, int]) -> Iterator[str]:
    for name, kind, told, values in (
        ("waiting_images", "gauge", "Images that wait for a destination.", [one.waiting for one in now.destinations]),
        ("failed_images", "gauge", "Images that a destination does not take.", [one.errors for one in now.destinations]),
        ("sent_images_total", "counter", "Images that arrived.", [one.sent for one in now.destinations]),
        ("sent_bytes_total", "counter", "Bytes of these.", [one.bytes for one in now.destinations]),
        ("sent_bytes_today", "gauge", "Bytes since midnight, UTC.", [arrived.get(one.url, 0) for one in now.destinations]),
        ("retries_total", "counter", "Tries that did not succeed.", [one.retries for one in now.destinations]),
    ):
        labels = [_label(destination=one.url) for one in now.destinations]
        yield from _metric(f"destination_{name}", kind, told, list(zip(labels, map(float, values), strict=True)))
    told = "Whether a destination answered when it was last tried."
    up = [(_label(destination=one.url), float(one.since is None)) for one in now.destinations if one.active]
    yield from _metric("destination_up", "gauge", told, up)


def _metric(name: str, kind: str, told: str, samples: list[Sample]) -> Iterator[str]:
    yield f"# HELP rtbids_send_{name} {told}\n# TYPE rtbids_send_{name} {kind}\n"
    for labels, value in samples:
        yield f"rtbids_send_{name}{labels} {value:.15g}\n"


def _label(**labels: str) -> str:
    escaped = {key: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()}
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"


@contextmanager
def served(outbox: Outbox, port: int | None) -> Iterator[int | None]:
    """Answer on a port of this machine (0: any that is free) until the end of the block; give the port.

    Raises
    ------
    CannotWrite
        The port is taken.
    """
    if port is None:
        yield None
        return
    try:
        server = HTTPServer((HOST, port), _asked(outbox))  # one thread: each would have a connection to the database
    except OSError as error:
        raise CannotWrite(f"metrics: port {port} cannot be had ({error.strerror})", "give another one") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True)
    thread.start()
    logger.info("metrics: http://%s:%d/metrics", HOST, server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _asked(outbox: Outbox) -> type[BaseHTTPRequestHandler]:
    class Asked(BaseHTTPRequestHandler):
        timeout = 10.0

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            try:
                content = text(outbox).encode()
            except RtbidsError:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *values: object) -> None:
            """Say nothing: each scrape would be a line."""

    return Asked
