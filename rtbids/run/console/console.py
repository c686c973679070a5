"""``run.console``: what a script sees of the files on the scanner's side."""

from __future__ import annotations

import json
import logging

from rtbids.errors import BadData, UsageFault
from rtbids.run.console.call import MOST, Answer, Call, Content, Entry, Found, Kind, Refused, nothing

TIMEOUT = 10.0  # seconds that a script waits unless it says otherwise
LONGEST_WAIT = 3600  # seconds
logger = logging.getLogger("rtbids")


class Console:
    """Files on the scanner's side, in the folders that ``--allow`` names.

    Names are relative to an allowed folder, or absolute within one. A call waits for the disk, `timeout` seconds at the most.
    """

    def __init__(self, ask: Answer = nothing, timeout: float = TIMEOUT) -> None:
        self._ask = ask
        self._timeout = timeout

    def read(self, path: str, timeout: float | None = None) -> bytes:
        """Return what a file holds, at most 64 MB."""
        return bytes(self._call("read", timeout, name=path).content or b"")

    def text(self, path: str, timeout: float | None = None) -> str:
        """Return the text of a file in UTF-8."""
        try:
            return self.read(path, timeout).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadData(f"{path}: expected a text in UTF-8") from None

    def newest(self, pattern: str, timeout: float | None = None) -> str | None:
        """Return the name of the file that was written to last among those that match, None where none does.

        ``*``, ``?`` and ``[...]`` in the pattern are as in a shell, in folders' names too.
        """
        return self._call("newest", timeout, pattern=pattern).name

    def list(self, folder: str = "", pattern: str = "*", timeout: float | None = None) -> tuple[Entry, ...]:
        """Return the files in a folder, by name; links and hidden files are left out."""
        found = bytes(self._call("list", timeout, name=folder, pattern=pattern).content or b"")
        return tuple(Entry(*json.loads(line)) for line in found.splitlines())

    def write(self, path: str, content: bytes | str, timeout: float | None = None) -> None:
        """Write a file, at most 64 MB, in place of what it held; texts are in UTF-8.

        It has its name once all of it is on the disk, so that nobody reads half of it, and a failure leaves what there was.
        """
        self._call("write", timeout, name=path, content=_encoded(path, content))

    def _call(
        self,
        kind: Kind,
        timeout: float | None,
        *,
        name: str = "",
        pattern: str = "*",
        content: Content | None = None,
    ) -> Found:
        seconds = self._timeout if timeout is None else timeout
        if not 0 < seconds <= LONGEST_WAIT:
            raise UsageFault(f"timeout: expected seconds above 0 and up to {LONGEST_WAIT}, found {timeout!r}")
        call = Call(kind, _text(name), _text(pattern), content, seconds)
        if content is not None and len(content) > MOST:
            logger.warning("run.console.write is refused: %s: more than %d MB", call.name, MOST // 2**20)
            raise Refused(f"{call.name}: more than {MOST // 2**20} MB are not written")
        return self._ask(call)


def _text(name: object) -> str:
    """Return a name, which may be a path; raise UsageFault for what cannot be one."""
    text = name if isinstance(name, str) else getattr(name, "__fspath__", lambda: None)()
    if not isinstance(text, str):
        raise UsageFault(f"expected the name of a file as text, found {type(name).__name__}")
    _encoded("a name", text)
    return text


def _encoded(path: str, content: object) -> bytes:
    if isinstance(content, str):
        try:
            return content.encode()
        except UnicodeEncodeError:
            raise UsageFault(f"{path}: expected text in Unicode, found half a character (a lone surrogate)") from None
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    raise UsageFault(f"{path}: expected bytes or text, found {type(content).__name__}")
