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
import json
import select
import socket
import threading
import time

AGAIN = 0.5  # seconds between two attempts to connect
MOST = 10000  # lines that wait to be taken; of more the oldest are left out


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
        self._responses = _parsed(responses)[1] if responses else None
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._lines = collections.deque(maxlen=MOST)
        self._latest = None
        self._socket = None
        self._over = threading.Event()
        self._joined = threading.Event()
        listen = self._take_datagrams if self._scheme == "udp" else self._stay_connected
        if self._scheme == "udp":
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind(self._place)
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
        """Send a response now, such as ``respond("button", "1")``; say whether it could be sent."""
        fields = {"event": event, "value": value, "duration": duration, "time": time.time()}
        line = json.dumps({key: field for key, field in fields.items() if field is not None}).encode() + b"\n"
        try:
            if self._responses:
                self._datagrams.sendto(line, self._responses)
            elif self._scheme == "tcp" and self._socket is not None:
                self._socket.sendall(line)
            else:
                return False
        except OSError:
            return False
        return True

    def close(self):
        """Leave."""
        self._over.set()
        self._thread.join(2.0)
        self._datagrams.close()

    def _stay_connected(self):
        while not self._over.is_set():
            try:
                self._socket = socket.create_connection(self._place, 2.0)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._joined.set()
                self._read()
            except OSError:
                pass
            self._joined.clear()
            if self._socket is not None:
                self._socket.close()
            self._over.wait(AGAIN)

    def _read(self):
        pending = b""
        while not self._over.is_set():
            if not select.select([self._socket], [], [], AGAIN)[0]:
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
                self._keep(self._socket.recv(65536))
        self._socket.close()

    def _keep(self, line):
        try:
            self._latest = json.loads(line.decode())
        except ValueError:  # not from rtbids
            return
        self._lines.append(self._latest)


def _parsed(address):
    scheme, separator, place = address.partition("://")
    host, colon, port = place.rpartition(":")
    if not separator or scheme not in ("tcp", "udp") or not colon or not port.isdigit():
        raise ValueError("expected tcp://host:port or udp://host:port, found " + repr(address))
    return scheme, (host.strip("[]") or "127.0.0.1", int(port))
