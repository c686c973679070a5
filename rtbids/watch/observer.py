"""Folder events where there is no inotify (macOS, Windows), through watchdog."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from rtbids.wakeup import Wakeup
from rtbids.watch.changes import SAFETY_SECONDS, Change, Kind

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver


class Observed(FileSystemEventHandler):
    """The events of a folder and all below it.

    Not every platform tells when a file is closed: there a file that was written to is looked at until it stays as it is.
    """

    mode = "events (watchdog)"
    interval = SAFETY_SECONDS

    def __init__(self, folder: str) -> None:
        self._changes: deque[Change] = deque()
        self._arrived = Wakeup()
        self._observer: BaseObserver = Observer()
        self._observer.schedule(self, folder, recursive=True)
        self._observer.start()

    def fileno(self) -> int | None:
        return self._arrived.fileno()

    def enter(self, folder: str) -> None:
        pass  # watched together with the folder above it

    def read(self) -> list[Change]:
        self._arrived.clear()
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()

    def on_created(self, event: FileSystemEvent) -> None:
        self._tell(Change(Kind.FOLDER if event.is_directory else Kind.TOUCHED, os.fsdecode(event.src_path)))

    def on_modified(self, event: FileSystemEvent) -> None:
        if not event.is_directory:
            self._tell(Change(Kind.TOUCHED, os.fsdecode(event.src_path)))

    def on_closed(self, event: FileSystemEvent) -> None:
        self._tell(Change(Kind.WHOLE, os.fsdecode(event.src_path)))

    def on_moved(self, event: FileSystemEvent) -> None:
        kind = Kind.MOVED if event.is_directory else Kind.WHOLE
        self._tell(Change(kind, os.fsdecode(event.dest_path), os.fsdecode(event.src_path)))

    def _tell(self, change: Change) -> None:
        self._changes.append(change)
        self._arrived.set()
