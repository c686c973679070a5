"""What is asked of a command: SOURCE, what it is, and how it is to be taken."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rtbids import dicomnet
from rtbids.bids import dataset
from rtbids.cli import far_ends
from rtbids.cli.deid_stage import Wish
from rtbids.cli.far_ends import Far
from rtbids.cli.withheld import Withheld
from rtbids.errors import InputMissing, UsageFault
from rtbids.stream import endpoints, fifo, folder
from rtbids.stream.far import held
from rtbids.volume import Entities
from rtbids.wakeup import Wakeup

if TYPE_CHECKING:
    import ssl

    from rtbids.cli.deid_stage import Stage
    from rtbids.convert.session import Others
    from rtbids.stream.link import Link
    from rtbids.watch import associations

Kind = Literal["dicom", "bids", "stream"]


@dataclass(frozen=True)
class Network:
    """How the DICOM network is listened to; see the options of the same names. `spool` None is one for each address."""

    allow_aet: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None
    spool: Path | None = None
    fsync: bool = False

    @property
    def aets(self) -> frozenset[str] | None:
        """The AE titles that may send, None for all."""
        return frozenset(map(dicomnet.ae_title, self.allow_aet)) or None

    @property
    def hosts(self) -> frozenset[associations.Network] | None:
        """The networks that may send, None for all."""
        from rtbids.watch.associations import networks

        return networks(self.allow_host) or None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """How the port is encrypted, None where it is not."""
        return dicomnet.server_tls(self.tls_cert, self.tls_key, self.tls_ca)


@dataclass(frozen=True)
class Live:
    """How a live source is taken; see the options of the same names, and `rtbids.watch.directory.instances` for `since`."""

    pattern: str = "*"
    existing: bool = True
    wait: bool = True
    idle_timeout: float | None = None
    poll: bool | None = None
    series: frozenset[int] | None = None
    network: Network = Network()
    since: int | None = None


@dataclass(frozen=True)
class Request:
    """A source and how it is to be taken.

    Attributes
    ----------
    speed
        Of a replay: 1 for the scanner's pace, None for as fast as volumes are taken.
    number
        Gives a new functional series its run label; see `rtbids.convert.series.Assembler`.
    faults
        Collects what is said of files that could not be used.
    others
        Takes the series that are not functional; see `rtbids.convert.series.Assembler`.
    hurry
        Whether somebody may wait for the volumes; see there too.
    withheld
        Keeps identifiers out of names and sidecars, or in.
    deidentify
        De-identifies images on their way, where that was asked for.
    far
        How a source on another machine is reached.
    on_link
        Is told of the link to it, and of its host.
    wish
        What was said of de-identification, for that machine to do.
    on_held
        Is told of volumes that wait for one before them; see `rtbids.convert.series.volumes`.
    """

    source: str
    entities: Entities = field(default_factory=dict)
    live: Live = field(default_factory=Live)
    keep: Literal["original", "corrected", "both"] = "original"
    speed: float | None = 1.0
    number: Callable[[Entities], str] | None = None
    stop: Wakeup = field(default_factory=Wakeup)
    open_timeout: float = fifo.OPEN_TIMEOUT
    faults: list[str] = field(default_factory=list)
    on_mode: Callable[[str], None] = lambda mode: None
    others: Others | None = None
    hurry: bool = True
    withheld: Withheld = field(default_factory=Withheld)
    deidentify: Stage | None = None
    on_held: Callable[[Entities, int, float], None] = lambda entities, index, received: None
    far: Far = field(default_factory=Far)
    on_link: Callable[[Link, str], None] = lambda link, host: None
    wish: Wish = field(default_factory=Wish)


def kind_of(source: str) -> Kind:
    """Say what SOURCE is; raise InputMissing where it is nothing."""
    if source == endpoints.STANDARD:
        return "stream"
    if is_network(source):
        dicomnet.parse(source)  # or says what is wrong with it
        return "dicom"
    if endpoints.is_far(source):
        far_ends.address(source)
        return "stream"
    if scheme := endpoints.scheme(source):
        expected = "a folder, a run, a named pipe, a .tar file, dicom-scp://host:port, ssh://host/PATH or -"
        raise UsageFault(f"{source}: expected {expected}, found {scheme}://")
    if held.found(source):
        return "stream"
    path = Path(source)
    if not path.exists():
        lost = f"a link to {os.readlink(path)}, where nothing is" if path.is_symlink() else "no such file or folder"
        hint = "if it is the name of a source, none of that name is connected: rtbids status --sources"
        raise InputMissing(f"{source}: {lost}", hint if held.is_name(source) else None)
    if not (path.is_file() or path.is_dir() or fifo.is_fifo(path)):
        found = "a socket" if path.is_socket() else "a device"
        raise UsageFault(f"{source}: expected a folder, a file or a named pipe, found {found}")
    if fifo.is_fifo(path) or path.suffix == ".tar":
        return "stream"
    if dataset.is_dataset(path) and folder.is_bidsi(path):
        return "stream"  # unpacked
    if path.name.endswith((".nii", ".nii.gz")) or dataset.is_dataset(path):
        return "bids"
    return "dicom"


def is_network(source: str) -> bool:
    """Say whether SOURCE is a port of ours that images are sent to."""
    return endpoints.scheme(source) == "dicom-scp"


def is_recorded(source: str) -> bool:
    """Say whether a stream is a file, or unpacked: its volumes came long ago, and it waits for whoever reads it."""
    if source == endpoints.STANDARD:
        return stat.S_ISREG(os.fstat(0).st_mode)
    return kind_of(source) == "stream" and not (endpoints.is_far(source) or fifo.is_fifo(Path(place(source))))


def is_complete(request: Request) -> bool:
    """Say whether all that will ever come of a source is there: of a recording, or of a folder that is read once."""
    if kind_of(request.source) == "dicom":
        return not (request.live.wait or is_network(request.source))
    return is_recorded(request.source)


def place(source: str) -> str:
    """Return where a stream is read: of a connected source its pipe."""
    return str(held.found(source) or source)
