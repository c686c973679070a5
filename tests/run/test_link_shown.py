"""How the connection to a source on another machine stands, as the run shows it."""

from __future__ import annotations

import queue

from stream.link_ends import ends

from rtbids.cli import on
from rtbids.run.progress import Linked, Progress


class Told(Progress):
    """Keeps what it was told of the link."""

    def __init__(self) -> None:
        self.links: queue.SimpleQueue[Linked | None] = queue.SimpleQueue()
        super().__init__()

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "link":
            assert value is None or isinstance(value, Linked)
            self.links.put(value)

    def wait_until(self, is_up: bool) -> Linked:
        while (link := self.links.get(timeout=20)) is None or link.is_up != is_up:
            pass
        return link


def test_the_link_to_a_source_is_shown_as_that_of_the_scripts_is(monkeypatch):
    monkeypatch.setattr(on, "EVERY", 0.01)
    told = Told()
    with ends() as (near, road):
        near.wait_up(20)
        on.show_source(told, near, "console")
        assert told.wait_until(True).place == "console"
        road.is_blocked.set()
        road.cut()
        assert told.wait_until(False).cuts == 1
        road.is_blocked.clear()
        assert told.wait_until(True).cuts == 1
