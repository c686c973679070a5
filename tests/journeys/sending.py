"""A node that sends what is exported to it, and the Orthanc that it sends to."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forked import Forked
from journeys.conftest import Outcome
from peers import until
from send import servers

from rtbids.cli import outbox_tables
from rtbids.send.outbox import Outbox


def fill(folder: Path, contents: list[bytes]) -> Path:
    """Write files as an export does: under a name that says so, then renamed."""
    part = folder.with_name(f"{folder.name}.tmp{random.randrange(1000)}")
    part.mkdir(parents=True)
    for number, content in enumerate(contents, 1):
        (part / f"{number:04}.dcm").write_bytes(content)
    part.rename(folder)
    return folder


@dataclass(frozen=True)
class Node:
    """A node of its own: what is exported, the outbox, the key."""

    home: Path
    running: list[Forked] = field(default_factory=list)

    def start(self, *words: object, cwd: Path | None = None) -> Forked:
        self.running.append(Forked([str(word) for word in words], self.home / "said" / str(len(self.running)), cwd))
        return self.running[-1]

    def call(self, *words: object, cwd: Path | None = None) -> Outcome:
        return Outcome(*self.start(*words, cwd=cwd).ended())

    @property
    def export(self) -> Path:
        return self.home / "export"

    @property
    def outbox(self) -> Path:
        return self.home / "outbox"

    def words(self, *arguments: object, source: object = None) -> list[object]:
        first, *rest = arguments
        places = ["--outbox", self.outbox, "--key", self.home / "site.key", "--quiet-time", "0.2"]
        return ["send", source or self.export, first, *rest, *places]

    def once(self, *arguments: object, source: object = None) -> Outcome:
        return self.call(*self.words(*arguments, source=source), "--no-wait")

    def begin(self, *arguments: object, source: object = None) -> Forked:
        return self.start(*self.words(*arguments, source=source))

    def ask(self, verb: str, *arguments: object) -> Outcome:
        return self.call("send", verb, *arguments, "--outbox", self.outbox)

    def status(self) -> dict[str, Any]:
        with Outbox.open(self.outbox, create=False) as outbox:
            return outbox_tables.as_json(outbox, 1, 50)

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            if not (self.outbox / "outbox.sqlite").exists() or not condition(self.status()):
                raise ConnectionError
            return self.status()

        until(attempt, "the outbox never came so far")
        return self.status()


@dataclass(frozen=True)
class Pacs:
    """An Orthanc, as the destination of these tests."""

    orthanc: servers.Orthanc
    received: Path  # a line for each image that has come, whether it was there or not

    @property
    def url(self) -> str:
        return f"dicom://ORTHANC@127.0.0.1:{self.orthanc.dicom}"

    def files(self) -> list[bytes]:
        numbers = json.loads(self.orthanc.ask("GET", "/instances"))
        return [self.orthanc.ask("GET", f"/instances/{number}/file") for number in numbers]

    def stores(self) -> int:
        """How many images have come, those that came again counted again."""
        return len(self.received.read_text().splitlines())

    def clear(self) -> None:
        self.orthanc.clear()
        self.received.write_text("")


@contextmanager
def receiving(folder: Path, **settings: object) -> Iterator[Pacs]:
    """Run an Orthanc that writes down each image that it receives, before it looks whether it has it."""
    folder.mkdir()
    (folder / "received").touch()
    (folder / "count.lua").write_text(COUNT % (folder / "received"))
    with servers.orthanc(folder, OverwriteInstances=True, LuaScripts=[str(folder / "count.lua")], **settings) as orthanc:
        yield Pacs(orthanc, folder / "received")


COUNT = """
function ReceivedInstanceFilter(dicom, origin)
  local file = io.open("%s", "a")
  file:write(dicom["SOPInstanceUID"] .. "\\n")
  file:close()
  return true
end
"""


def kill(sender: Forked) -> None:
    assert sender.signal(signal.SIGKILL) == -signal.SIGKILL


def until_said(sender: Forked, text: str) -> None:
    def attempt() -> None:
        if text not in sender.said:
            assert sender.is_alive, sender.said
            raise ConnectionError

    until(attempt, f"it never said {text!r}")


def watching(sender: Forked) -> None:
    until_said(sender, "watching")
