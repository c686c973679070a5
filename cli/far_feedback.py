"""``--feedback ssh://host/PATH``: feedback to a file, a named pipe, or a UDP or TCP port of another machine; both ends."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from rtbids.cli import far_addresses, far_ends, far_places
from rtbids.cli.far_ends import Far
from rtbids.errors import CannotWrite, UsageFault
from rtbids.pipeline import be_quick
from rtbids.run.feedback import far_end, sockets
from rtbids.run.feedback.across import Across
from rtbids.stream import endpoints
from rtbids.stream.far import keeper
from rtbids.stream.far.takeover import retire
from rtbids.stream.link import Link

VERB, READY = "feedback", "feedback/ready.json"
_FREE, _LOOK = 6.0, 0.1  # seconds
FORMS = "a file, a named pipe, udp://host:port or tcp://host:port there, such as ssh://me@console/udp://127.0.0.1:5000"


class Opener:
    """Opens places on other machines, and gives each the word that the tables have for it."""

    def __init__(self, far: Far) -> None:
        self._far = far
        self._counts: Counter[str] = Counter()

    def __call__(self, endpoint: str, timeout: float, say: Callable[[str], None]) -> Across:
        place = far_ends.address(endpoint)
        asked = {"sender": far_ends.sender(endpoint), "open_timeout": timeout}
        link = far_ends.dial(VERB, place, self._far, asked)
        try:
            told = far_ends.ready(link, READY, timeout + far_ends.READY)
            link.wait_for_clock()
            kind = str(told.get("kind"))
            if kind == "tcp":
                say(f"feedback at {told.get('name')} on {place.host}")
            return Across(link, str(place), kind, self._label(kind), as_table=place.path.endswith(".tsv"))
        except BaseException:
            link.close()
            raise

    def _label(self, kind: str) -> str:
        self._counts[kind] += 1
        return kind if self._counts[kind] == 1 else f"{kind}-{self._counts[kind]}"


def feedback(link: Link, arguments: Mapping[str, Any]) -> None:
    """Bring the lines that come over a link to the place that `arguments` name, until the near side ends."""
    text = str(arguments.get("path"))
    keeper.tell(place=text)
    place = _place(text, arguments)
    keeper.tell(kind=place.kind)
    be_quick()
    with closing(place):
        link.send(READY, json.dumps({"kind": place.kind, "name": place.name}).encode())
        far_end.serve(link, place)
        link.finish(far_ends.READY)


def _listening(address: sockets.Address, make_room: Callable[[], None]) -> far_end.Place:
    """Listen at an address, which what served a run that was killed may take a moment to let go."""
    until = time.monotonic() + _FREE
    while True:
        make_room()
        try:
            return far_end.at_address(address)
        except CannotWrite:
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK)  # there is no event for a port that becomes free


def _place(text: str, arguments: Mapping[str, Any]) -> far_end.Place:
    named = text.removeprefix("/")
    match endpoints.scheme(named):
        case "udp" | "tcp":
            address = far_addresses.address(named)
            if address.scheme == "udp":
                return far_end.at_address(address)
            return _listening(address, lambda: retire(VERB, text, arguments))
        case None if not named.startswith(("lsl:", "ws:")):
            path = far_places.path(arguments)
            retire(VERB, text, arguments)
            return far_end.at_path(path, far_places.timeout(arguments))
    raise UsageFault(f"{named}: feedback does not go there on another machine", f"it goes to {FORMS}")
