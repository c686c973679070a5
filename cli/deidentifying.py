"""De-identify files from one end to the other: what is done is counted, what is left out is named."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from rtbids.cli import console
from rtbids.cli.stopping import stopping
from rtbids.deidentify import files
from rtbids.deidentify.engine import Clean, Deidentifier
from rtbids.deidentify.mapping import Key, Mapping, key_path
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.profile import Options, Profile
from rtbids.errors import BadData, InputMissing
from rtbids.pipeline import Inbox
from rtbids.stream import endpoints
from rtbids.wakeup import Wakeup


@dataclass(frozen=True)
class Request:
    """What was asked for."""

    source: str
    destination: str
    options: Options = field(default_factory=Options)
    key: Path | None = None
    overwrite: bool = False
    open_timeout: float = 10.0


@dataclass
class Tally:
    """What became of the files."""

    written: int = 0
    copies: int = 0
    refused: int = 0
    bad: int = 0
    remarks: set[str] = field(default_factory=set)

    @property
    def seen(self) -> int:
        return self.written + self.copies + self.refused + self.bad


def make_key(path: Path | None) -> None:
    """Make the site's key, and say what it is for."""
    path = path or key_path()
    Key.make(path)
    console.say(f"made the site's key: {path}")
    console.say("keep a copy in a safe place: without it no patient of before will be recognised, with it one may be found out")


def run(request: Request) -> None:
    """De-identify; raise BadData where nothing could be."""
    files.check_source(request.source)
    files.check_apart(request.source, request.destination)
    engine = Deidentifier(Profile(request.options), Mapping(Key.load(request.key or key_path())))
    with stopping() as stop:
        tally = _through(engine, request, stop)
        if not stop.is_set():
            _sum_up(tally, request)


def _through(engine: Deidentifier, request: Request, stop: Wakeup) -> Tally:
    """Take file after file from one end to the other."""
    tally = Tally()
    count, sources = _sources(request, stop)
    destination = files.destination(request.destination, overwrite=request.overwrite, timeout=request.open_timeout)
    try:
        with console.counting("de-identifying", count) as advance, closing(sources):
            names = files.Names()
            for source in sources:
                if stop.is_set():
                    break
                _one(engine, source, destination, names, tally)
                advance()
        if not stop.is_set() and tally.written:
            destination.finish()
    finally:
        destination.drop()
    return tally


def _sources(request: Request, stop: Wakeup) -> tuple[int | None, Generator[files.Source, None, None]]:
    """Return how many files there are, where that is known, and the files."""
    if files.is_tar(request.source):
        return None, _from_tar(request, stop)
    root = Path(request.source)
    paths = files.in_folder(root) if root.is_dir() else [root]
    if not paths:
        raise InputMissing(f"{request.source}: there are no files in it")
    return len(paths), (files.read(path, root) for path in paths)


def _from_tar(request: Request, stop: Wakeup) -> Generator[files.Source, None, None]:
    where = "standard input" if request.source == endpoints.STANDARD else request.source
    with endpoints.open_source(request.source, request.open_timeout) as file:
        yield from Inbox(files.in_tar(file, where)).until(stop)


def _one(engine: Deidentifier, source: files.Source, destination: files.Destination, names: files.Names, tally: Tally) -> None:
    """De-identify one file, or say why it is left out."""
    try:
        if source.content is None:
            raise BadData(source.fault)
        clean = engine.clean(bytes(source.content))
        if names.is_copy(clean.name, clean.content):
            tally.copies += 1
            return
    except BadData as error:
        tally.refused += isinstance(error, Refused)
        tally.bad += not isinstance(error, Refused)
        console.left_out(source.name, tally.seen, str(error), error.hint)
        return
    destination.write(clean.name, clean.content)
    tally.written += 1
    _remark(clean, source, tally)


def _remark(clean: Clean, source: files.Source, tally: Tally) -> None:
    """Say once what is to be known of files like this one."""
    for remark in clean.remarks:
        if remark not in tally.remarks:
            tally.remarks.add(remark)
            console.logger.warning("%s", f"file {tally.seen}: {remark}")


def _sum_up(tally: Tally, request: Request) -> None:
    left_out = tally.refused + tally.bad
    if not tally.seen:
        raise InputMissing(f"{request.source}: there are no files in it")
    if not tally.written:
        raise BadData(f"none of {left_out} files could be de-identified", "why is said above, file by file")
    words = [f"{tally.written} file{'s' * (tally.written != 1)} de-identified"]
    words += [f"{tally.refused} refused"] if tally.refused else []
    words += [f"{tally.bad} left out that are no DICOM images or damaged"] if tally.bad else []
    words += [f"{tally.copies} copies left out"] if tally.copies else []
    console.say(", ".join(words))
