"""Which files are taken, which are waited for and which are given up: the decisions of a watch, one file at a time."""

from __future__ import annotations

import enum
import math
import zlib
from collections.abc import Iterator

from rtbids.clock import Clock
from rtbids.convert.dicom import Instance
from rtbids.errors import BadData
from rtbids.watch import looks, whole
from rtbids.watch.faults import Fault, Faults
from rtbids.watch.looks import Content, Look
from rtbids.watch.waiting import Held, Waiting
from rtbids.watch.zeros import Ending, Zeros, ending


class Told(enum.Enum):
    """How it is known of a file that it may be whole."""

    CLOSED = "its writer has closed or renamed it"
    FOUND = "it was found, and nobody says whether its writer is done"
    BEFORE = "it was there at the start"


class Intake:
    """Take whole files once each; wait `patience` seconds for others to change, then name them.

    A file of full length that ends in zeros may not be filled yet: see `rtbids.watch.zeros`. A file that changes after it was
    taken is named, as its volume has what it held before.
    """

    def __init__(self, folder: str, pattern: str, patience: float, faults: Faults, clock: Clock) -> None:
        self.taken = 0
        self._folder, self._pattern, self._patience = folder, pattern, patience
        self._faults, self._clock = faults, clock
        self._zeros = Zeros()
        self._files: dict[str, tuple[Content, str]] = {}  # path → what was taken from it, and which image it was
        self._contents: set[Content] = set()
        self._images: dict[str, int] = {}  # SOP Instance UIDs, and the checksums of their pixels
        self._waiting: dict[str, Waiting] = {}
        self._refused: dict[str, Look | None] = {}
        self._ignored: set[Content] = set()
        self._looks: dict[str, tuple[Look, float]] = {}
        self._fresh: dict[str, tuple[Look, float]] = {}

    def wants(self, path: str) -> bool:
        """Say whether the name is that of a finished file of ours."""
        return looks.is_wanted(path, self._folder, self._pattern)

    def visible(self, path: str) -> bool:
        """Say whether neither the name nor that of a folder above it, up to the watched one, begins with a dot."""
        return looks.visible(path, self._folder)

    def ignore(self, look: Look | None) -> None:
        """Leave out a file that was there before, under whatever name, until it is written to."""
        if look is not None:
            self._ignored.add(look.content)

    def unknown(self, path: str, look: Look | None) -> bool:
        """Say whether there is anything to gain from reading this file, as it looks now."""
        if path in self._waiting:
            return self._waiting[path].look != look or self._waiting[path].fault is Fault.UNREADABLE
        if path in self._refused:
            return self._refused[path] != look
        return look is None or not (look.content in self._contents or look.content in self._ignored)

    def seen(self, path: str, look: Look | None, now: float) -> float | None:
        """Return since when (POSIX seconds) a file that no event told of looks as it does, None as long as it may change."""
        if not self.wants(path) or not self.unknown(path, look):
            return None
        if look is None:
            return now
        before, since = self._looks.get(path, (None, now))
        if before == look:
            return since
        self._fresh[path] = look, now
        return None

    def looked(self) -> None:
        """A look at everything is over: forget files that it did not see."""
        self._looks, self._fresh = self._fresh, {}

    def take(self, path: str, received: float, told: Told) -> Iterator[Instance]:
        """Give what the file holds where it is whole and new; remember what is the matter where it is not.

        Images that were held until this one came are given before it.
        """
        look = None
        try:
            look = whole.look(path)
            if look.content in self._ignored or self._files.get(path, (None, ""))[0] == look.content:
                return
            instance = whole.read_image(path, self._name(path), received)
        except (OSError, BadData) as error:
            if not (isinstance(error, FileNotFoundError) and (path in self._files or self._is_held(path))):
                self._wait(path, look, *whole.reason(error, path, self._name(path)))
            return  # taken or held before, and moved on since
        yield from self._judged(path, look, Held(instance, ending(instance)), told)

    def moved(self, source: str, path: str) -> None:
        """Follow a file to its new name."""
        waiting = self._waiting.pop(source, None)
        if waiting and waiting.held:
            self._waiting[path] = waiting
        self._pardon(source)
        if source in self._files:
            self._files[path] = self._files.pop(source)

    def refuse(self, folder: str, error: OSError) -> None:
        """Name a folder that cannot be listed, once; of a subfolder that is gone nobody needs to hear."""
        if folder in self._refused or (isinstance(error, FileNotFoundError) and folder != self._folder):
            return
        self._refused[folder] = None
        name = "the watched folder itself" if folder == self._folder else "a folder in it"
        self._faults.note(Fault.UNREADABLE, folder, f"{name}: cannot be listed ({error.strerror or error})")

    @property
    def due(self) -> float:
        """When patience with a file next ends (POSIX seconds)."""
        return min((waiting.until(self._patience) for waiting in self._waiting.values()), default=math.inf)

    def overdue(self, now: float) -> Iterator[Instance]:
        """Name the files that have not changed for as long as patience lasts; they are still taken should they become whole.

        Those that were held for their zeros only are given, but for pictures of several slices in a functional series.
        """
        for path, waiting in list(self._waiting.items()):
            if now < waiting.until(self._patience) or self._waiting.get(path) is not waiting:
                continue  # or it left with one before it
            if waiting.may_be_whole:
                yield from self._released(path)
            else:
                del self._waiting[path]
                self._refused[path] = waiting.look
                self._faults.note(waiting.fault, path, waiting.text)

    def settle(self) -> Iterator[Instance]:
        """Name or give all that is still waited for: there is no more time to become whole."""
        for _ in range(2):  # what has changed meanwhile is read again, and may be held anew
            yield from self.overdue(math.inf)

    def _judged(self, path: str, look: Look, image: Held, told: Told) -> Iterator[Instance]:
        """Give an image unless it may not be filled yet, and before it those for which it shows that they are."""
        before = self._waiting.get(path)
        if before and before.held and before.look and before.held.end.image != image.end.image:  # its name was used again
            del self._waiting[path]
            yield from self._admitted(path, before.look, before.held)
        mates = self._mates(image.end)
        if any(self._zeros.vouch(image.end, mate.end) for other, mate in mates.items() if self._is_unchanged(other)):
            self._zeros.believe(image.end)
        if self._is_doubtful(look, image.end, told):
            self._wait(path, look, Fault.INCOMPLETE, f"{image.instance.name}: never filled, {self._ends(image.end)}", image)
            return
        self._waiting.pop(path, None)
        for other, mate in mates.items():
            overtaken = mate.end.alone and mate.end.order < image.end.order
            if overtaken or not self._zeros.doubts(mate.end, closed=False):
                yield from self._released(other)
        yield from self._admitted(path, look, image)

    def _is_doubtful(self, look: Look, end: Ending, told: Told) -> bool:
        settled = told is Told.BEFORE and self._clock.now() - look.modified / 1e9 >= self._patience
        if end.image in self._images or (end.alone and settled):
            return False
        return self._zeros.doubts(end, told is Told.CLOSED)

    def _mates(self, end: Ending) -> dict[str, Held]:
        """Return the held images of other volumes that show the same slice."""
        held = {path: waiting.held for path, waiting in self._waiting.items() if waiting.held}
        return {path: one for path, one in held.items() if one.end.place == end.place and one.end.image != end.image}

    def _is_held(self, path: str) -> bool:
        return path in self._waiting and self._waiting[path].held is not None

    def _is_unchanged(self, path: str) -> bool:
        """Say whether a file that is waited for has the content that was read; one that is gone has no other."""
        before = self._waiting[path].look if path in self._waiting else None
        try:
            return before is not None and whole.look(path).content == before.content
        except OSError:
            return True

    def _released(self, path: str) -> Iterator[Instance]:
        """Give an image that was held, or what its file holds by now."""
        unchanged, waiting = self._is_unchanged(path), self._waiting.pop(path, None)
        if waiting and not unchanged:
            yield from self.take(path, self._clock.now(), Told.FOUND)
        elif waiting and waiting.held and waiting.look:
            yield from self._admitted(path, waiting.look, waiting.held)

    def _name(self, path: str) -> str:
        """Return what a message may say."""
        return whole.name_of(path)

    def _wait(self, path: str, look: Look | None, fault: Fault, text: str, held: Held | None = None) -> None:
        if path in self._waiting and self._waiting[path].look == look:
            return
        if path in self._refused:
            if self._refused[path] == look:
                return
            self._pardon(path)
        self._waiting[path] = Waiting(look, self._clock.now(), fault, text, held)

    def _pardon(self, path: str) -> None:
        if path in self._refused:
            del self._refused[path]
            self._faults.withdraw(path)

    def _admitted(self, path: str, look: Look, image: Held) -> Iterator[Instance]:
        """Count the file as taken; give its image where that is new, else say what is to be said."""
        self._pardon(path)
        uid, pixels = image.end.image, image.instance.dataset.PixelData
        same_path = self._files.get(path, (None, ""))[1] == uid
        same_file = same_path or look.content in self._contents
        self._files[path] = look.content, uid
        self._contents.add(look.content)
        if uid not in self._images:
            self._images[uid] = 0
            self._trust(path, image)
            self.taken += 1
            yield image.instance
            self._images[uid] = zlib.crc32(pixels)  # only now that it is on its way
        elif same_path and zlib.crc32(pixels) != self._images[uid]:
            self._images[uid] = zlib.crc32(pixels)
            self._deceived(path, image.end)
        elif not same_file:
            self._say(Fault.DUPLICATE, path, "a copy of an image already taken")

    def _trust(self, path: str, image: Held) -> None:
        """Count the zeros of an image as the scanner's; say where they look as if they were not."""
        end = image.end
        if self._zeros.doubts(end, closed=True) or self._zeros.odd(end):
            self._say(Fault.ODD, path, f"{self._ends(end)}: taken as it is")
        else:
            self._zeros.believe(end)

    def _ends(self, end: Ending) -> str:
        if self._zeros.odd(end):
            return f"its last {end.zero} of {end.rows} rows are zero as in no volume before"
        return "its last slice is all zero"

    def _deceived(self, path: str, end: Ending) -> None:
        """Say of a file, once, that it changed after it was taken."""
        self._zeros.deceived(end)
        if self._faults.said(path) is not Fault.CHANGED:
            self._say(
                Fault.CHANGED, path, "changed after it was taken, and its volume has what was there before: convert it anew"
            )

    def _say(self, fault: Fault, path: str, text: str) -> None:
        self._faults.note(fault, path, f"{self._name(path)}: {text}")
