"""A far command over SSH as a pair of binary files, and what its end says."""

from __future__ import annotations

import io
import shlex
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, cast

from rtbids import __version__
from rtbids.errors import ConnectionLost, RtbidsError, StreamBroken, UsageFault
from rtbids.stream.link.protocol import OWN, install
from rtbids.stream.ssh.said import reason

if TYPE_CHECKING:
    import paramiko

    from rtbids.stream.ssh.connect import Connection

_CHUNK = 32 * 1024 - 64  # of a packet, which holds 32 KiB with what is around it
_MOST = 1 << 20  # of one read
_LINE = 200  # bytes of what was said in place of a stream
_KEPT = 4096  # bytes of what the far command says on standard error
_ENDING = 2.0  # seconds in which a command that has closed its output says how it ended
NOT_FOUND = 127
_BEGINNING = OWN.encode()  # the name of the first member of a link


class Channel:
    """A far command. `reader` is its standard output, `writer` its standard input; both raise TimeoutError when it is silent.

    A transport of a link: its reader raises what explains it where the far command says anything but the beginning of one.

    It holds the connection that it runs over, and closes it with itself. `was_there`: the far command was found before, so
    that one which is not found now may be on a machine that starts, or whose homes are not there yet.
    """

    def __init__(self, connection: Connection, channel: paramiko.Channel, command: str, was_there: bool = False) -> None:
        self.connection = connection
        self._reader = _Reader(self, channel)
        self.reader = cast(BinaryIO, self._reader)
        self.writer = cast(BinaryIO, _Writer(self, channel))
        self._channel = channel
        self._command = command
        self._was_there = was_there
        self._said = b""
        self._listener = threading.Thread(target=self._listen, name="ssh stderr", daemon=True)
        self._listener.start()

    def close(self) -> None:
        """End the connection at once, whoever is in the middle of a read or a write; from any thread, any number of times."""
        self.connection.close()

    @property
    def said(self) -> str:
        """Return the end of what the far command said on standard error."""
        return self._said.decode("utf-8", "replace").strip()

    @property
    def has_begun(self) -> bool:
        """Whether the far side has said what a link begins with."""
        return self._reader.head.startswith(_BEGINNING)

    @property
    def code(self) -> int | None:
        """Return how the command ended; None where the connection was lost before that was said, or it still runs."""
        if not self._channel.status_event.wait(_ENDING):
            return None
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    def diagnosis(self) -> RtbidsError | None:
        """Say why a command that ended before it said a sensible word did so; None where that is not known.

        To be asked when what should have been the beginning of a stream was none.
        """
        head = self._reader.head
        if head and not _BEGINNING.startswith(head[: len(_BEGINNING)]):
            return self._chatty(head)
        code = self.code
        if code is None:
            return None
        self._listener.join(_ENDING)  # its last words may be on their way from one thread to another
        host, said = self.connection.host, self.said
        line = reason(said.splitlines()[-1]) if said else ""
        is_missing = code == NOT_FOUND or "No module named rtbids" in said or "No module named 'rtbids'" in said
        if is_missing and self._was_there:
            return ConnectionLost(f"{host}: rtbids is not found there any more{f' ({line})' if line else ''}")
        if is_missing:
            return self._missing(line)
        remark = f": {line}" if line else ""
        if code in (0, ConnectionLost.exit_code) or head:
            return ConnectionLost(f"{host}: the far side ended with exit code {code}{remark}")
        return UsageFault(
            f"{host}: the far command ended with exit code {code} before it began{remark}",
            f"try it there: {self.connection.host.login} {shlex.quote(self._command)}",
        )

    def _missing(self, line: str) -> UsageFault:
        login = self.connection.host.login
        if line and "rtbids" not in line:
            return UsageFault(f"{self.connection.host}: {line}", "--remote-command names what starts rtbids on the far side")
        return UsageFault(
            f"{self.connection.host} has no rtbids, or not where it is looked for",
            f"{login} '{install(__version__)}'; --remote-command 'PATH/rtbids far' where it is in another place",
        )

    def _chatty(self, head: bytes) -> StreamBroken:
        text = head[:_LINE].decode("utf-8", "replace").strip()
        line = text.splitlines()[0] if text else ""
        return StreamBroken(
            f"{self.connection.host}: the far side said {line!r} before rtbids began",
            "its login script writes to standard output (~/.bashrc, ~/.profile): let it do so in terminals only",
        )

    def _listen(self) -> None:
        import paramiko

        while True:
            try:
                content = self._channel.recv_stderr(_KEPT)
            except TimeoutError:  # it says nothing, as it should
                continue
            except (paramiko.SSHException, EOFError, OSError):  # taking it tells the far side that there is room again
                return
            if not content:
                return
            self._said = (self._said + content)[-_KEPT:]


class _Reader(io.RawIOBase):
    def __init__(self, channel: Channel, stream: paramiko.Channel) -> None:
        self._channel = channel
        self._stream = stream
        self.head = b""  # the first bytes that came

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read what is there. Raise what explains it where no link begins."""
        content = self._received(min(len(buffer), _MOST))
        buffer[: len(content)] = content
        if len(self.head) < len(_BEGINNING):
            self.head += content
            self._demand_beginning(is_over=not content)
        return len(content)

    def _received(self, most: int) -> bytes:
        try:
            content: bytes = self._stream.recv(most)
        except OSError:
            raise
        except Exception as error:  # as in `write`: a read tells the far side that there is room again
            raise ConnectionResetError(reason(error)) from None
        return content

    def _demand_beginning(self, is_over: bool) -> None:
        begins = _BEGINNING.startswith(self.head[: len(_BEGINNING)])
        if not begins:
            with suppress(TimeoutError):  # the rest of the line, if it has come
                self.head += self._received(_LINE)
        if (not begins or is_over) and (why := self._channel.diagnosis()) is not None:
            raise why


class _Writer(io.RawIOBase):
    def __init__(self, channel: Channel, stream: paramiko.Channel) -> None:
        self._channel = channel
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, content: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write what the far side takes and return how much that is; raise TimeoutError where it takes nothing."""
        view = memoryview(content).cast("B")
        done = 0
        while done < len(view):
            try:
                sent = self._stream.send(bytes(view[done : done + _CHUNK]))
            except TimeoutError:
                if done:
                    return done
                raise
            except OSError:
                self._explain()
                raise
            except Exception as error:  # paramiko's own errors and EOFError, of a connection that was closed meanwhile
                raise ConnectionResetError(reason(error)) from None
            if not sent:
                self._explain()
                raise BrokenPipeError("the far side takes nothing more")
            done += sent
        return done

    def _explain(self) -> None:
        """Raise what is known of why a command takes nothing that has said nothing."""
        if not self._channel.has_begun and (why := self._channel.diagnosis()) is not None:
            raise why
