"""What SOURCE on a command line means, made into items: a DICOM folder, a data set or a run to replay, a stream."""

from __future__ import annotations

import itertools
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from rtbids import dicomnet
from rtbids.bids import dataset
from rtbids.cli import far_ends, far_sources
from rtbids.cli.deid_stage import Wish
from rtbids.cli.far_ends import Far
from rtbids.cli.withheld import Withheld
from rtbids.clock import CLOCK
from rtbids.errors import BadData, InputMissing, NothingMatched, UsageFault
from rtbids.pipeline import Inbox, settled
from rtbids.plural import counted
from rtbids.receipt import abandon, settle
from rtbids.stream import bidsi, endpoints, fifo, folder, units, wire
from rtbids.stream.far import held
from rtbids.stream.units import Unit
from rtbids.volume import Entities, Item, Volume
from rtbids.volume import volumes as volumes_of
from rtbids.wakeup import Wakeup

if TYPE_CHECKING:
    import ssl

    from rtbids.cli.deid_stage import Stage
    from rtbids.convert.beforehand import Foreseen
    from rtbids.convert.dicom import Instance
    from rtbids.convert.series import Assembler
    from rtbids.convert.session import Others
    from rtbids.watch import associations

Kind = Literal["dicom", "bids", "stream"]
_OTHER: Mapping[str, tuple[str, str]] = {  # what is no DICOM: what it is, and what to do with it
    "bids": ("a BIDS data set or a run of one", "its volumes are given by rtbids replay, as DICOM files by --as dicom"),
    "stream": ("a stream", "its volumes are taken by rtbids run and rtbids convert"),
}
_SAYS_NOTHING = "sidecars are written without identifiers anyway, but for --identified"
logger = logging.getLogger("rtbids")


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
    """How a live source is taken; see the options of the same names."""

    pattern: str = "*"
    existing: bool = True
    wait: bool = True
    idle_timeout: float | None = None
    poll: bool | None = None
    series: frozenset[int] | None = None
    network: Network = Network()


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
    wish: Wish = field(default_factory=Wish)


def volumes(source: str | Path, *, speed: float | None = None, wait: bool = False) -> Iterator[Volume]:
    """Return the volumes of a DICOM folder, a BIDS data set or run, or a stream, for notebooks.

    Parameters
    ----------
    source
        What SOURCE is on the command line.
    speed
        1 replays a data set at the scanner's pace, None as fast as the loop takes it.
    wait
        Go on waiting for new files in a DICOM folder, as at the scanner.

    Examples
    --------
    >>> import rtbids
    >>> for volume in rtbids.volumes("study/sub-01/func/sub-01_task-nf_run-01_bold.nii.gz"):
    ...     print(volume.index, volume.data.mean())
    """
    request = Request(str(source), live=Live(wait=wait), speed=speed)
    return settled(volumes_of(items(request)))


def kind(source: str) -> Kind:
    """Say what SOURCE is; raise InputMissing where it is nothing."""
    if source == endpoints.STANDARD:
        return "stream"
    if is_network(source):
        dicomnet.parse(source)  # or says what is wrong with it
        return "dicom"
    if is_far(source):
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
        raise InputMissing(f"{source}: {lost}")
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


def is_far(source: str) -> bool:
    """Say whether a place is on another machine."""
    return endpoints.scheme(source) == "ssh"


def items(request: Request) -> Iterator[Item]:
    """Return the volumes and ends of runs that a request asks for."""
    form = kind(request.source)
    if form != "bids" and any(not int(label) for label in request.entities.get("run", "1").split(",")):
        raise UsageFault("--run 0: runs are counted from 1")  # but one that is there already may be called so
    return request.withheld.items(_of(form, request))


def _of(form: Kind, request: Request) -> Iterator[Item]:
    match form:
        case "bids" if request.deidentify:
            raise UsageFault(f"{request.source}: --deidentify is for DICOM files, found {_OTHER['bids'][0]}", _SAYS_NOTHING)
        case "bids":
            return _replayed(request)
        case "stream" if is_far(request.source):
            return far_sources.items(request)
        case "stream":
            return _streamed(request)
        case "dicom":
            return _converted(instances(request), request, _foreseen(request))


def instances(request: Request) -> Iterator[Instance]:
    """Return the whole DICOM files of a folder or from the network, those of the wanted series, de-identified where asked."""
    found = _instances(request)
    is_done = is_far(request.source) or not request.deidentify
    return found if is_done or request.deidentify is None else request.deidentify.instances(found, request.faults)


def _instances(request: Request) -> Iterator[Instance]:
    if is_far(request.source):
        return far_sources.files(request)
    if (form := kind(request.source)) != "dicom":
        found, hint = _OTHER[form]
        raise UsageFault(f"{request.source}: expected a folder of DICOM files or dicom-scp://host:port, found {found}", hint)
    images = (_received if is_network(request.source) else _watched)(request)
    if request.live.series is None:
        return images
    return _of_series(images, request.live.series, request)


def _watched(request: Request) -> Iterator[Instance]:
    from rtbids.watch import directory

    live = request.live
    if live.network != Network():
        raise UsageFault("--allow-*, --tls-*, --spool and --fsync are of the DICOM network: expected dicom-scp://host:port")
    return directory.instances(
        Path(request.source),
        pattern=live.pattern,
        existing=live.existing,
        wait=live.wait,
        idle_timeout=live.idle_timeout,
        poll=live.poll,
        stop=request.stop,
        on_mode=request.on_mode,
        faults=request.faults,
    )


def _received(request: Request) -> Iterator[Instance]:
    from rtbids.watch import storage_scp

    live, network = request.live, request.live.network
    address = dicomnet.parse(request.source)
    return storage_scp.instances(
        address,
        spool=network.spool or _spool(address),
        existing=live.existing,
        wait=live.wait,
        idle_timeout=live.idle_timeout,
        allowed_aets=network.aets,
        allowed_hosts=network.hosts,
        tls=network.tls,
        fsync=network.fsync,
        stop=request.stop,
        on_mode=request.on_mode,
        faults=request.faults,
    )


def _spool(address: dicomnet.Address) -> Path:
    """Return where images of this address wait: the same place at the next start, and no memory that a restart empties."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "rtbids" / "spool" / str(address.port)


def first_files(found: Iterator[Instance], most: int | None) -> Iterator[Instance]:
    """Pass on the files of `most` functional volumes (None: all), and those between them."""
    if most is None:
        yield from found
        return
    from rtbids.convert import series

    assembler = series.Assembler({}, series.counter())
    count = 0
    for instance in found:
        yield instance
        seen = assembler.add(replace(instance, receipts=()), CLOCK.now())
        count += sum(isinstance(item, Volume) for item in seen)
        if count >= most:
            return


def _of_series(found: Iterator[Instance], wanted: frozenset[int], request: Request) -> Iterator[Instance]:
    """Pass on the files of the wanted series; raise NothingMatched where there were others only and no more will come."""
    numbers: set[int] = set()
    for instance in found:
        number = _number(instance)
        numbers.add(number)
        if number in wanted:
            yield instance
        else:
            settle(instance.receipts)
    if numbers and not request.live.wait and not request.stop.is_set() and not numbers & wanted:
        there = ", ".join(str(number) if number else "0 (without a number)" for number in sorted(numbers))
        raise NothingMatched(f"{request.source}: no series {', '.join(map(str, sorted(wanted)))}, there are: {there}")


def _number(instance: Instance) -> int:
    """Return the series number as people know it, 0 where there is none; a header can hold anything."""
    from rtbids.convert.one_series import number_of
    from rtbids.convert.stack import MALFORMED

    try:
        return number_of(instance.dataset)
    except MALFORMED:
        return 0


def _foreseen(request: Request) -> Foreseen | None:
    """Look through a folder that is read once, so that its runs are named rightly from the first on."""
    if not is_complete(request):
        return None
    from rtbids.cli import recordings

    return _seen(recordings.folder(Path(request.source), request.live.pattern, request.stop.is_set), request)


def _seen(foreseen: Foreseen, request: Request) -> Foreseen:
    return request.deidentify.seen(foreseen) if request.deidentify else foreseen


def _converted(found: Iterable[Instance], request: Request, foreseen: Foreseen | None = None) -> Iterator[Item]:
    from rtbids.convert import beforehand, series

    _check_runs(request, foreseen)
    found = request.withheld.instances(found)
    assembler = series.Assembler(
        {entity: label for entity, label in request.entities.items() if entity != "run"},
        request.number or numbering(request.entities.get("run"), series.counter()),
        keep=request.keep,
        series=request.live.series,
        others=request.others,
        foreseen=foreseen or beforehand.NOTHING_KNOWN,
        hurry=request.hurry,
    )
    if is_complete(request):  # nothing comes late
        opened = CLOCK.now()
        return _not_in_vain(series.volumes(found, assembler, lambda: opened), assembler, request)
    inbox: Inbox[Instance] = Inbox(found, wake=lambda: assembler.wake)
    return _not_in_vain(series.volumes(inbox, assembler, on_held=request.on_held), assembler, request)


def _check_runs(request: Request, foreseen: Foreseen | None) -> None:
    """Refuse run labels that are fewer than the scans of the picked series, before the first is recorded."""
    runs = request.entities.get("run")
    if runs is None or foreseen is None or not request.live.series:
        return
    scans = foreseen.scans(request.live.series)
    if len(runs.split(",")) < scans:
        raise UsageFault(f"--run {runs} names fewer runs than the {scans} that the picked series are", "give one label a run")


def _not_in_vain(made: Iterable[Item], assembler: Assembler, request: Request) -> Iterator[Item]:
    """Pass on volumes; raise BadData where functional images came, not one could be used, and nobody keeps them."""
    some = False
    for item in made:
        some = some or isinstance(item, Volume)
        yield item
    if assembler.left_out and not some and request.others is None and not request.stop.is_set():
        raise BadData(f"not one volume could be made of {counted(assembler.left_out, 'image')} that were to be converted")


def numbering(runs: str | None, free: Callable[[Entities], str]) -> Callable[[Entities], str]:
    """Return how new series are numbered: by the labels of ``--run 1,2,3`` in turn, or by `free`."""
    if runs is None:
        return free
    given = iter(runs.split(","))

    def number(entities: Entities) -> str:
        label = next(given, None)
        if label is None:
            raise UsageFault(f"--run {runs} names fewer runs than there are functional series", "pick series by --series")
        return label.zfill(2) if label.isdigit() else label

    return number


def _replayed(request: Request) -> Iterator[Item]:
    from rtbids.replay import dataset as replay

    if (runs := request.entities.get("run")) and "," in runs:
        raise UsageFault(f"--run {runs}: one run at a time can be picked from a data set")
    filters: Mapping[str, str] = request.entities
    return replay.items(Path(request.source), filters, request.speed, CLOCK, request.stop)


def _streamed(request: Request) -> Iterator[Item]:
    """Open a stream now, so that its writer can go on, and read it when its items are asked for: nothing may come for long."""
    if Path(request.source).is_dir():
        return _renamed(bidsi.decode(folder.members(Path(request.source)), request.source), request.entities)
    return _decoded(endpoints.open_source(_place(request.source), request.open_timeout), _name(request), request)


def _place(source: str) -> str:
    """Return where a stream is read: of a connected source its pipe."""
    return str(held.found(source) or source)


def _name(request: Request) -> str:
    return "standard input" if request.source == endpoints.STANDARD else request.source


def _decoded(file: BinaryIO, name: str, request: Request) -> Iterator[Item]:
    """Read a stream of either sort; one of DICOM files that was recorded is looked through before."""
    members = wire.members(file, name)
    first = _first(members, name)
    whole = itertools.chain([first], members)
    if first.name.endswith(".json") or not is_recorded(request.source):
        yield from of_members(whole, name, request)
        return
    from rtbids.cli import recordings

    recording = recordings.recording(whole, file, request.stop.is_set)
    yield from _converted(_read(recording.members(), request), request, _seen(recording.foreseen, request))
    if recording.broken is not None:  # said when all that is there has been given
        raise recording.broken


def _first(members: Iterator[wire.Member], name: str) -> wire.Member:
    first = next(members, None)
    if first is None:
        raise BadData(f"{name}: the stream is empty")
    return first


def of_members(members: Iterator[wire.Member], name: str, request: Request) -> Iterator[Item]:
    """Read a stream of either sort: BIDS-I, which begins with the data set's description, or DICOM files to be converted."""
    first = _first(members, name)
    whole = itertools.chain([first], members)
    if not first.name.endswith(".json"):
        yield from _converted(_read(whole, request), request)
        return
    _demand_files(name, request)
    yield from _renamed(bidsi.decode(whole, name), request.entities)


def _demand_files(name: str, request: Request) -> None:
    if request.deidentify:
        raise UsageFault(f"{name}: --deidentify is for DICOM files, found BIDS-I", _SAYS_NOTHING)


def stream(request: Request) -> Iterator[Unit]:
    """Return what a request asks for in the units that a stream goes on by.

    The members of a stream pass as they are, but for identifiers; what is watched is converted.
    """
    form = kind(request.source)
    if is_far(request.source):
        return far_sources.units(request)
    if form == "bids":
        raise UsageFault(f"{request.source}: a data set is no stream", f"rtbids replay {request.source} | rtbids stream - DEST")
    if form == "dicom" or request.entities:
        return units.of_items(items(request))
    return units.of_members(_members(request))


def _members(request: Request) -> Iterator[wire.Member]:
    """Give the members of a stream; images de-identified where asked, sidecars without identifiers."""
    name = _name(request)
    if Path(request.source).is_dir():
        members = folder.members(Path(request.source))
    else:
        members = wire.members(endpoints.open_source(_place(request.source), request.open_timeout), name)
    return _cleaned(members, name, request)


def _cleaned(members: Iterator[wire.Member], name: str, request: Request) -> Iterator[wire.Member]:
    first = _first(members, name)
    whole = itertools.chain([first], members)
    if first.name.endswith(".json"):
        yield from request.withheld.members(whole)
    elif request.deidentify is None:
        yield from whole
    else:
        for number, image in enumerate(_read(whole, request), 1):
            yield member_of(image, number)


def member_of(image: Instance, number: int) -> wire.Member:
    """Return an image as the member of a stream, with a name that says nothing."""
    return wire.Member(f"{number:06d}.dcm", memoryview(image.content), image.received, image.receipts)


def is_recorded(source: str) -> bool:
    """Say whether a stream is a file, or unpacked: its volumes came long ago, and it waits for whoever reads it."""
    if source == endpoints.STANDARD:
        return stat.S_ISREG(os.fstat(0).st_mode)
    return kind(source) == "stream" and not (is_far(source) or fifo.is_fifo(Path(_place(source))))


def is_complete(request: Request) -> bool:
    """Say whether all that will ever come of a source is there: of a recording, or of a folder that is read once."""
    if kind(request.source) == "dicom":
        return not (request.live.wait or is_network(request.source))
    return is_recorded(request.source)


def _read(members: Iterable[wire.Member], request: Request) -> Iterator[Instance]:
    """Read the files of a stream, and de-identify them where asked."""
    found = _as_they_are(members, request.faults)
    return request.deidentify.instances(found, request.faults) if request.deidentify else found


def _as_they_are(members: Iterable[wire.Member], faults: list[str]) -> Iterator[Instance]:
    """Read the files of a stream; raise BadData at its end where not one of them could be used."""
    from rtbids.convert import dicom

    good, bad = 0, 0
    for member in members:
        now = CLOCK.now()
        received = min(member.modified or now, now)  # the writer's clock may be ahead of ours
        try:
            instance = dicom.read(member.content, dicom.shown(member.name), received)
        except BadData as error:
            bad += 1
            abandon(member.receipts)
            faults.append(str(error))
            logger.warning("%s", error)
            continue
        good += 1
        yield replace(instance, receipts=member.receipts)
    if bad and not good:
        raise BadData(f"expected DICOM images in the stream, found none among {counted(bad, 'file')}")


def _renamed(source: Iterable[Item], entities: Entities) -> Iterator[Item]:
    """Let what the user says of subject, session and so on override what the stream says."""
    if not entities:
        yield from source
        return
    known: dict[tuple[tuple[str, str], ...], Entities] = {}
    for item in source:
        key = tuple(sorted(item.entities.items()))
        if key not in known:
            known[key] = {**item.entities, **entities}
        yield replace(item, entities=known[key])
