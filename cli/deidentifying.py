"""De-identify files from one end to the other: what is done is counted, what is left out is named."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rtbids.cli import cleaners, console, defacing, deid_records
from rtbids.cli.defacing import Held, Waiting
from rtbids.cli.deid_records import Records, Wanted
from rtbids.cli.deid_tally import Tally, sum_up
from rtbids.cli.litter import Litter
from rtbids.cli.stopping import stopping
from rtbids.deidentify import destinations, files
from rtbids.deidentify.by_recipe import Cleaner, Skipped
from rtbids.deidentify.clean import Clean
from rtbids.deidentify.engine import InternalFault
from rtbids.deidentify.mapping import Key, key_path
from rtbids.deidentify.names import Names
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.verify import Survived
from rtbids.errors import BadData, InputMissing, RtbidsError, UsageFault
from rtbids.pipeline import Inbox
from rtbids.plural import counted
from rtbids.stream import endpoints
from rtbids.wakeup import Wakeup

_SEVERAL = "the recipe gives one PatientID to several patients, who become one"


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    destination: str
    rules: cleaners.Rules
    wanted: Wanted = field(default_factory=Wanted)
    overwrite: bool = False
    open_timeout: float = 10.0


def make_key(path: Path | None) -> None:
    """Make the site's key, and say what it is for."""
    path = cleaners.key_file(path) or key_path()
    Key.make(path)
    console.say(f"made the site's key: {path}")
    console.say("keep a copy in a safe place: without it no patient of before will be recognised, with it one may be found out")


def run(request: Request) -> None:
    """De-identify; raise BadData where nothing could be."""
    files.check_source(request.source)
    files.check_apart(request.source, request.destination)
    _check_one(request)
    with stopping() as stop:
        cleaner = cleaners.cleaner(request.rules, stop.wait)
        records = deid_records.records(request.wanted, request.rules, cleaner, overwrite=request.overwrite)
        tally = Tally()
        try:
            with closing(records), defacing.waiting(request.wanted.deface, stop) as waiting:
                _through(cleaner, records, waiting, request, stop, tally)
        except (RtbidsError, OSError):
            _say_broken_off(tally, request)
            raise
        if stop.is_set():
            _say_broken_off(tally, request)
        else:
            sum_up(tally, request.source)


def _say_broken_off(tally: Tally, request: Request) -> None:
    """Say what there is of a de-identification that was not brought to its end, and how to begin anew."""
    if not tally.written:
        return
    console.conclude(f"not finished: {counted(tally.written, 'file')} de-identified until then")
    if Path(request.destination).is_dir():
        console.say(f"they are in {request.destination}; --overwrite lets the next try write over them")
    elif destinations.is_tar_file(Path(request.destination)):
        console.say("a .tar that is not whole is not kept")


def _through(cleaner: Cleaner, records: Records, waiting: Waiting | None, request: Request, stop: Wakeup, tally: Tally) -> None:
    """Take file after file from one end to the other."""
    count, sources, unlisted = _sources(request, stop)
    destination = destinations.destination(request.destination, overwrite=request.overwrite, timeout=request.open_timeout)
    job = _Job(cleaner, destination, records, waiting, tally=tally)
    try:
        for folder, why in unlisted:
            job.refuse_folder(folder, why)
        with console.counting("de-identifying", count) as advance, closing(sources):
            for source in sources:
                if stop.is_set():
                    break
                job.take(source)
                advance()
            job.litter.tell()
            if waiting and not stop.is_set():
                waiting.finish(job.write, job.refuse)
        if not stop.is_set() and job.tally.is_good:
            destination.finish()
    finally:
        destination.drop()


def _check_one(request: Request) -> None:
    """Refuse to write what may be many files to one."""
    if destinations.is_one(request.destination) and (files.is_tar(request.source) or Path(request.source).is_dir()):
        raise UsageFault(
            f"{request.destination} is one file, and {request.source} may hold many", "name a folder or a .tar file as DEST"
        )


def _sources(request: Request, stop: Wakeup) -> tuple[int | None, Generator[files.Source, None, None], list[tuple[str, str]]]:
    """Return how many files there are, where that is known; the files; which folders cannot be listed, and why."""
    unlisted: list[tuple[str, str]] = []
    if files.is_tar(request.source):
        return None, _from_tar(request, stop), unlisted
    root = Path(request.source)
    paths = files.in_folder(root, lambda name, why: unlisted.append((name, why))) if root.is_dir() else [root]
    if not (paths or unlisted):
        raise InputMissing(f"{request.source}: there are no files in it")
    return len(paths), (files.read(path, root) for path in paths), unlisted


def _from_tar(request: Request, stop: Wakeup) -> Generator[files.Source, None, None]:
    where = "standard input" if request.source == endpoints.STANDARD else request.source
    with endpoints.open_source(request.source, request.open_timeout) as file:
        yield from Inbox(files.in_tar(file, where)).until(stop)


@dataclass
class _Job:
    """What a file goes through."""

    cleaner: Cleaner
    destination: destinations.Destination
    records: Records
    waiting: Waiting | None = None
    names: Names = field(default_factory=Names)
    litter: Litter = field(default_factory=Litter)
    tally: Tally = field(default_factory=Tally)
    _patients: set[str] = field(default_factory=set)

    def take(self, source: files.Source) -> None:
        """De-identify one file, or say why it is left out."""
        try:
            content = source.read()
            clean = self.cleaner.clean(content)
            if self.names.is_copy(clean.name, clean.content):
                self.tally.copies += 1
                self.records.left_out("copies", "a copy of another file")
                return
        except BadData as error:
            self._leave_out(source, error)
            return
        held = Held(source.name, clean, self.records.link(content, clean))
        if not (self.waiting and self.waiting.takes(held)):
            self.write(held)

    def write(self, held: Held) -> None:
        """Write a file, and take note of it."""
        self.destination.write(held.clean.name, held.clean.content)
        self.tally.written += 1
        self.records.written(held.clean, held.link)
        self._remark(held.name, held.clean)

    def _leave_out(self, source: files.Source, error: BadData) -> None:
        self._count(error)
        why = self.tally.seen, str(error), error.hint
        if not (isinstance(error, Skipped) or (_kind(error) == "bad" and self.litter.takes(source, *why))):
            console.left_out(source.name, *why)

    def refuse(self, series: list[Held], error: BadData) -> None:
        """Leave out the images of a series; the first stands for all."""
        for _ in series:
            self._count(error)
        console.left_out(
            f"{series[0].name} with all {len(series)} images of its series", self.tally.seen, str(error), error.hint
        )

    def refuse_folder(self, name: str, why: str) -> None:
        """Say that a folder cannot be listed."""
        self.tally.folders += 1
        self.records.left_out("folders", f"a folder cannot be listed: {why}")
        console.warn(f"{name}: cannot be listed ({why})", f"a folder cannot be listed ({why})")

    def _count(self, error: BadData) -> None:
        kind = _kind(error)
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)
        self.tally.faults += isinstance(error, InternalFault)
        self.records.left_out(kind, str(error))

    def _remark(self, name: str, clean: Clean) -> None:
        """Say once what is to be known of files like this one."""
        self._patients.add(clean.patient)
        several = (_SEVERAL,) if len(self._patients) > 1 and self.cleaner.gives_one_patient_id else ()
        for remark in (*clean.remarks, *several):
            if remark not in self.tally.remarks:
                self.tally.remarks.add(remark)
                console.warn(f"{name}: {remark}", f"file {self.tally.seen}: {remark}")


def _kind(error: BadData) -> str:
    kinds = {files.Unreadable: "unreadable", Skipped: "skipped", Survived: "survived", Refused: "refused"}
    return next((name for kind, name in kinds.items() if isinstance(error, kind)), "bad")
