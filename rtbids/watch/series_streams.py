"""A tar stream of DICOM files as a source of finished series: each is over when it is quiet, or with the stream."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import BinaryIO

from rtbids.clock import CLOCK, Clock
from rtbids.errors import CannotWrite, StreamBroken, cannot_write
from rtbids.pipeline import Inbox
from rtbids.stream import wire
from rtbids.wakeup import Wakeup
from rtbids.watch.finished import Finished
from rtbids.watch.incoming import Incoming, NoRoom


def batches(
    file: BinaryIO, name: str, incoming: Incoming, *, stop: Wakeup | None = None, clock: Clock = CLOCK
) -> Iterator[Finished]:
    """Keep the files of a stream as they come and hand out each series that is over.

    Raises
    ------
    StreamBroken
        It ended without the end mark; what had come by then was handed out before.
    CannotWrite
        The disk does not take more; here too.
    """
    stop = stop or Wakeup()
    broken: StreamBroken | CannotWrite | None = None
    members = Inbox(wire.members(file, name))
    while not stop.is_set():
        due = incoming.due
        sources: list[Inbox[wire.Member] | Wakeup] = [members, stop]
        select.select(sources, [], [], None if due == float("inf") else max(0.0, due - clock.now()))
        try:
            if (member := members.take()) is not None:
                _keep(incoming, member)
        except StopIteration:
            break
        except (StreamBroken, CannotWrite) as error:
            broken = error
            break
        yield from incoming.finished()
    yield from incoming.finished(everything=True)
    if broken is not None:
        raise broken


def _keep(incoming: Incoming, member: wire.Member) -> None:
    try:
        incoming.keep(member.content, broken=True)
    except NoRoom:
        raise CannotWrite(
            "the disk is nearly full: no more of the stream is taken", "free some space, and send it again"
        ) from None
    except OSError as error:
        raise cannot_write("the outbox", error) from None
