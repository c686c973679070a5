"""The durable outbox: what was taken in, how far each image has come, and where its files are."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from rtbids.clock import CLOCK, Clock
from rtbids.errors import InputMissing
from rtbids.send import adding, mending, purging, renaming, retiring, status
from rtbids.send.database import Database, DatabaseLost, SqliteDatabase
from rtbids.send.folder import Folder
from rtbids.send.found import Found
from rtbids.send.owners import Owner
from rtbids.send.read_only import ReadOnlyDatabase
from rtbids.send.schema import prepare, secret_of
from rtbids.send.showing import Shown, shown
from rtbids.send.states import State
from rtbids.send.status import Status


class Bell:
    """What wakes who waits for work in this process; work of other processes is found by looking."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = 0

    def ring(self) -> None:
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def heard(self) -> int:
        """Return how often it has rung, to be given to `wait`."""
        with self._changed:
            return self._rung

    def wait(self, heard: int, timeout: float) -> None:
        """Return when it has rung since `heard`, or `timeout` seconds are over."""
        with self._changed:
            self._changed.wait_for(lambda: self._rung != heard, timeout)


class Tally:
    """How many images this process has moved into each state."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._counts: Counter[State] = Counter()

    def add(self, moved: Counter[State]) -> None:
        with self._turn:
            self._counts += moved

    def __getitem__(self, state: State) -> int:
        return self._counts[state]


def _check_there(places: Folder, folder: Path, url: str | None) -> None:
    if not places.is_there(database=True) and not (url is not None and places.is_there(database=False)):
        raise InputMissing(f"no outbox in {folder}", "give the folder that was given to rtbids send")


class Outbox:
    """A folder and a database, made by `open`, which several processes may share.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = Path(folder, "series", "1.dcm")
    ...     image.parent.mkdir()
    ...     _ = image.write_bytes(b"an image")
    ...     outbox = Outbox.open(Path(folder, "outbox"))
    ...     found = Found("series", image.parent, (image,))
    ...     print(outbox.add(found), outbox.add(found), outbox.status().images["NEW"])
    ...     outbox.close()
    1 None 1
    """

    def __init__(self, folder: Folder, database: Database, secret: bytes, name: str, clock: Clock = CLOCK) -> None:
        self.folder = folder
        self.database = database
        self.secret = secret
        self.name = name
        self.clock = clock
        self.bell = Bell()
        self.tally = Tally()
        self.named = ""  # what a command must be told to mean this outbox, as " --outbox DIR"
        self.owner: Owner | None = None  # set while this process works on it

    @classmethod
    def open(cls, folder: Path, url: str | None = None, *, create: bool = True, clock: Clock = CLOCK) -> Outbox:
        """Open the outbox in `folder`, made where it is absent and may be; its states are in the database `url` where given.

        Raises
        ------
        InputMissing
            There is none, and it may not be made.
        CannotWrite
            The folder or the database cannot be used; the message says why.
        UsageFault
            The URL is none, or the outbox is of another version.
        """
        places = Folder(folder.absolute())
        if not create:
            _check_there(places, folder, url)
        places.make()
        name = url or str(places.database)
        database: Database
        if url is None:
            database = SqliteDatabase(places.database)
        else:
            from rtbids.send.postgres import PostgresDatabase

            database = PostgresDatabase(url)
        return cls(places, database, prepare(database, name), name, clock)

    @classmethod
    def look(cls, folder: Path, url: str | None = None, *, clock: Clock = CLOCK) -> Outbox:
        """Open the outbox in `folder` to ask it; one that may not be written is read as it is.

        Raises
        ------
        InputMissing
            There is none, or it may not be read.
        CannotWrite, UsageFault
            As `open`.
        """
        places = Folder(folder.absolute())
        _check_there(places, folder, url)
        if url is not None or places.is_writable():
            return cls.open(folder, url, create=False, clock=clock)
        places.check_readable()
        database = ReadOnlyDatabase(places.database)
        return cls(places, database, secret_of(database, str(places.database)), str(places.database), clock)

    def add(self, found: Found) -> int | None:
        """Take in a finished batch; return its number, or None where all of it is known. Whoever waits for work is woken."""
        if (former := found.renamed_from or renaming.former(self, found)) is not None:
            renaming.follow(self, former, found.root)
        number = adding.add(self, found)
        if number is not None:
            self.bell.ring()
        return number

    def knows(self, found: Found) -> bool:
        """Say whether all of a batch was taken in before; not while the database does not answer, and `add` waits for it."""
        try:
            return adding.known(self, found)
        except DatabaseLost:
            return False

    def status(self, page: int = 0, per_page: int = 50) -> Status:
        """Return the counts, the destinations, and one page of the batches, newest first."""
        return status.status(self, page, per_page)

    def show(self, batch: int) -> Shown:
        """Return one batch and its images; raise InputMissing where there is none of that number."""
        return shown(self, batch)

    def retry(self, batch: int | None = None, image: int | None = None, who: str = "hand") -> int:
        """Put images in ERROR (of one batch, one of them, or all) back to the state before the failure; return how many.

        `who` is the user who asked for it, which the transition keeps.
        """
        count = mending.retry(self, batch, image, who)
        self.bell.ring()
        return count

    def dismiss(self, batch: int, image: int | None = None, who: str = "hand") -> int:
        """Give up images of a batch that are in ERROR (or one of them), so that the rest can be DONE; return how many."""
        count = mending.dismiss(self, batch, image, who)
        self.bell.ring()
        return count

    def retire(self, url: str, who: str = "hand") -> int:
        """Give up a destination; return how many images waited for it there, or had been refused by it."""
        count = retiring.retire(self, url, who)
        self.bell.ring()
        return count

    def purge(self, older_than: float) -> int:
        """Remove DONE batches that have not changed for `older_than` seconds; return how many."""
        return purging.purge(self, older_than)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Outbox:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
