"""Receive the feedback of ``rtbids run`` and send responses back: for PsychoPy, and any other Python from 3.7 on.

Copy this file beside your task; it needs nothing but Python. On the machine of the analysis::

    rtbids run EXPERIMENT SOURCE --feedback tcp://0.0.0.0:5555 --responses tcp://0.0.0.0:5555

and in your task::

    client = Client("tcp://192.168.0.10:5555")
    ...
    line = client.latest()  # in every frame; it waits for nothing
    if line is not None and line["value"] is not None:
        show(line["value"])
    ...
    client.respond("button", "1")
    client.close()

``line`` is a dict: ``experiment``, ``run``, ``volume`` (from 0), ``value`` (a number, a dict or None), ``status`` (``ok`` or
``alternate``), ``reason``, and ``received``, ``due`` and ``sent`` in POSIX seconds.
"""

from __future__ import annotations

import collections
import contextlib
import json
import select
import socket
import threading
import time

AGAIN = 0.5  # seconds between two attempts to connect
MOST = 10000  # lines that wait to be taken; of more the oldest are left out
PATIENCE = 2.0  # seconds for a connection


class Client:
    """Lines of feedback as they come, from ``tcp://host:port`` or, listening there, ``udp://host:port``.

    It connects in the background, again when a run has ended and the next one begins, so that a task may be started first.

    Parameters
    ----------
    address
        Where feedback comes from; for UDP where it comes to: ``udp://0.0.0.0:5005`` on every network of this machine.
    responses
        Where responses go, ``udp://host:port``; without it they go to where the feedback comes from (TCP only).
    """

    def __init__(self, address, responses=None):
        self._scheme, self._place = _parsed(address)
        self._datagrams, self._responses = _sender(_parsed(responses)[1]) if responses else (None, None)
        self._lines = collections.deque(maxlen=MOST)
        self._latest = None
        self._latest_of = {}
        self._socket = None
        self._sending = threading.Lock()
        self._unsent = b""
        self._over = threading.Event()
        self._joined = threading.Event()
        listen = self._take_datagrams if self._scheme == "udp" else self._stay_connected
        if self._scheme == "udp":
            family, place = _resolved(self._place)
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.bind(place)
            self._joined.set()
        self._thread = threading.Thread(target=listen, daemon=True)
        self._thread.start()

    @property
    def connected(self):
        """Whether a run is connected; with UDP, which does not know, always True."""
        return self._joined.is_set()

    def wait(self, timeout=None):
        """Wait for the connection, `timeout` seconds at the most; say whether it is there."""
        return self._joined.wait(timeout)

    def latest(self):
        """Return the newest line, None before the first."""
        return self._latest

    def lines(self):
        """Return the lines that have come since the last call, in order."""
        taken = []
        while self._lines:
            taken.append(self._lines.popleft())
        return taken

    def respond(self, event, value=None, duration=None):
        """Send a response now, such as ``respond("button", "1")``; say whether it could be sent. It waits for nothing."""
        fields = {"event": event, "value": value, "duration": duration, "time": time.time()}
        line = json.dumps({key: field for key, field in fields.items() if field is not None}).encode() + b"\n"
        try:
            if self._datagrams is not None:
                self._datagrams.sendto(line, self._responses)
                return True
            return self._scheme == "tcp" and self._joined.is_set() and self._send(line)
        except OSError:
            return False

    def _send(self, line):
        """Send a line where there is room for it; what of it there was none for goes before the next."""
        with self._sending:
            self._push()
            if self._unsent:
                return False
            self._unsent = line
            self._push()
            return True

    def _push(self):
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass

    def close(self):
        """Leave."""
        self._over.set()
        self._thread.join(2.0)
        if self._datagrams is not None:
            self._datagrams.close()

    def _stay_connected(self):
        while not self._over.is_set():
            try:
                with socket.create_connection(self._place, PATIENCE) as connection:
                    self._join(connection)
                    self._read()
            except OSError:
                pass
            self._joined.clear()
            self._over.wait(AGAIN)

    def _join(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        with self._sending:
            self._socket, self._unsent = connection, b""
        self._joined.set()

    def _read(self):
        pending = b""
        while not self._over.is_set():
            readable, writable, _ = select.select([self._socket], [self._socket] if self._unsent else [], [], AGAIN)
            if writable:
                with self._sending:
                    self._push()
            if not readable:
                continue
            content = self._socket.recv(65536)
            if not content:
                return
            whole = (pending + content).split(b"\n")
            pending = whole.pop()
            for line in whole:
                self._keep(line)

    def _take_datagrams(self):
        while not self._over.is_set():
            if select.select([self._socket], [], [], AGAIN)[0]:
                with contextlib.suppress(OSError):  # a damaged one
                    self._keep(self._socket.recv(65536))
        self._socket.close()

    def _keep(self, line):
        try:
            row = json.loads(line.decode())
            experiment = row.get("experiment")
        except (ValueError, AttributeError):  # not from rtbids
            return
        if self._latest_of.get(experiment) == row:  # a run gives who connects again the line that he had last
            return
        self._latest = self._latest_of[experiment] = row
        self._lines.append(row)


def _resolved(place):
    """Return the family and the address of a host and a port, be it IPv4 or IPv6."""
    family, _, _, _, address = socket.getaddrinfo(place[0], place[1], type=socket.SOCK_DGRAM)[0]
    return family, address


def _sender(place):
    family, address = _resolved(place)
    sender = socket.socket(family, socket.SOCK_DGRAM)
    sender.setblocking(False)
    return sender, address


def _parsed(address):
    scheme, separator, place = address.partition("://")
    host, colon, port = place.rpartition(":")
    if not separator or scheme not in ("tcp", "udp") or not colon or not port.isdigit():
        raise ValueError("expected tcp://host:port or udp://host:port, found " + repr(address))
    return scheme, (host.strip("[]") or "127.0.0.1", int(port))
