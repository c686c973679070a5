"""All that is looked at, in the order in which it is shown; each thing by itself, so that one that fails hides no other."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtbids.dicomnet import Address as DicomAddress
from rtbids.errors import CannotWrite, RtbidsError
from rtbids.run.doctor import (
    budget,
    conversion,
    disk,
    events,
    far_side,
    folder,
    machine,
    receiver,
    script,
    site_key,
    storing,
    synchronised,
    versions,
)
from rtbids.run.doctor.probe_folder import probe_folder
from rtbids.run.doctor.row import Cost, Finding, Row, cannot, look, plain, refused
from rtbids.stream.ssh.address import Address as SshAddress
from rtbids.stream.ssh.keys import Ask
from rtbids.stream.ssh.settings import SshOptions
from rtbids.volume import Volume
from rtbids.watch.associations import Guests

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What is to be looked at besides this machine.

    Attributes
    ----------
    folder
        Of DICOM files, or where data sets are kept.
    is_asked
        Whether the user named it; else it is where he happens to be, and nothing of it is a fault.
    """

    repetition_time: float
    folder: Path | None = None
    is_asked: bool = True
    poll: bool | None = None
    far: SshAddress | None = None
    ssh: SshOptions = field(default_factory=SshOptions)
    ask: Ask | None = None
    receiver: DicomAddress | None = None
    guests: Guests = field(default_factory=Guests)
    tls: ssl.SSLContext | None = None


class Examination:
    """Gives what is found, one thing after another, and then what it adds up to."""

    def __init__(self, wishes: Wishes, tell: Tell = lambda text: None) -> None:
        self._wishes, self._tell = wishes, tell
        self._files: list[bytes] = []
        self._volumes: list[Volume] = []
        self._costs: list[Cost] = []
        self._transfer = 0.0
        self.budget: budget.Budget | None = None

    def findings(self) -> Iterator[Finding]:
        can = True
        for examine in self._steps():
            for found in examine():
                self._costs += found.costs
                can = can and not any(row.code for row in found.rows)
                yield found
        if can:  # or a part of the way is not counted
            self.budget = budget.budget(self._costs, self._wishes.repetition_time, self._transfer)
            yield Finding("feedback", budget.judge(self.budget), plain(self.budget))

    def _steps(self) -> Iterator[Callable[[], Iterator[Finding]]]:
        yield self._here
        if self._wishes.folder is not None:
            yield self._folder
        if self._wishes.receiver is not None:
            yield self._receiver
        yield self._conversion
        yield self._script
        if self._wishes.far is not None:
            yield self._far_side

    def _here(self) -> Iterator[Finding]:
        self._tell("versions, clock, keys")
        self._files = conversion.mosaics()
        for module in (versions, machine, synchronised, site_key):
            yield module.examine()

    def _folder(self) -> Iterator[Finding]:
        wishes = self._wishes
        assert wishes.folder is not None
        self._tell(f"the folder {wishes.folder}")
        found = folder.place(wishes.folder)
        yield self._of_folder(Finding("folder", folder.judge(found, wishes.repetition_time), plain(found)))
        if found.is_readable and found.is_writable:
            yield from map(self._of_folder, self._tried(wishes.folder))

    def _of_folder(self, found: Finding) -> Finding:
        """Nobody means to use the folder that he happens to be in: what cannot work there is in nobody's way."""
        if self._wishes.is_asked:
            return found
        return replace(found, rows=tuple(_unasked(row) for row in found.rows))

    def _tried(self, place: Path) -> Iterator[Finding]:
        """Write to the folder: nobody who watches it takes notice."""
        try:
            with probe_folder(place) as inner:
                self._tell("folder events")
                heard = events.measure(inner, place, self._wishes.poll)
                yield Finding("events", events.judge(heard), plain(heard), events.costs(heard))
                self._tell("the disk")
                written = disk.measure(inner)
                yield Finding("disk", disk.judge(written), plain(written), disk.costs(written))
        except OSError as error:
            yield _unwritten("disk", f"{place} cannot be written", error)

    def _conversion(self) -> Iterator[Finding]:
        self._tell("reading and converting")
        with _faults("conversion") as found:
            converted, self._volumes = conversion.measure(self._files)
            found.append(Finding("conversion", conversion.judge(converted), plain(converted), conversion.costs(converted)))
        yield from found

    def _script(self) -> Iterator[Finding]:
        self._tell("a script's process")
        with _faults("script") as found:
            channel = script.measure(self._volumes)
            found.append(Finding("script", script.judge(channel), plain(channel), script.costs(channel)))
        yield from found

    def _far_side(self) -> Iterator[Finding]:
        wishes = self._wishes
        assert wishes.far is not None
        self._tell(f"the way to {wishes.far.host}")
        with _faults("ssh") as found:
            far = far_side.measure(wishes.far, wishes.ssh, self._volumes, wishes.ask)
            self._transfer = far_side.transfer(far)
            found.append(Finding("ssh", far_side.judge(far, wishes.repetition_time), plain(far), far_side.costs(far)))
        yield from found

    def _receiver(self) -> Iterator[Finding]:
        wishes = self._wishes
        assert wishes.receiver is not None
        self._tell("the DICOM receiver")
        with _faults("port") as found:
            heard = receiver.measure(wishes.receiver, wishes.guests, wishes.tls)
            found.append(Finding("receiver", receiver.judge(heard), plain(heard)))
            stored = storing.measure(self._files)
            found.append(Finding("storing", storing.judge(stored), plain(stored), storing.costs(stored)))
        yield from found


def _unasked(row: Row) -> Row:
    return look(row.name, row.text, row.why, "name the folder that you mean") if row.code else row


def _unwritten(key: str, text: str, error: OSError) -> Finding:
    why = error.strerror or str(error)
    row = cannot(key, text, why, "name a folder that can be written", code=CannotWrite.exit_code)
    return Finding(key, (row,), {"fault": why})


@contextmanager
def _faults(key: str) -> Iterator[list[Finding]]:
    """Give a list of findings, which gets what stands in the way where something is raised."""
    found: list[Finding] = []
    try:
        yield found
    except RtbidsError as error:
        found.append(Finding(key, (refused(key, error),), {"fault": str(error)}))
    except OSError as error:
        found.append(_unwritten(key, "there is no place to try it", error))


def exit_code(rows: list[Row]) -> int:
    """Return the code of the first thing that cannot work, 0 where all can."""
    return next((row.code for row in rows if row.code), 0)
