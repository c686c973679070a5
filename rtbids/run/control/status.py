"""The runs in progress: what a run says of itself, and the client that asks it, and others of it, from another process."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtbids import private
from rtbids.errors import ConnectionLost, RtbidsError

if TYPE_CHECKING:
    from rtbids.run.lanes import Lane
    from rtbids.run.progress import Linked
    from rtbids.run.resources import Resources
    from rtbids.run.session import Session

PATIENCE = 5.0  # seconds for a reply; the run's loop replies within milliseconds
Fields = dict[str, Any]


class Refused(RtbidsError):
    """A run did not do what it was asked for; `code` is that of the reason."""

    def __init__(self, message: str, hint: str | None, code: int) -> None:
        super().__init__(message, hint)
        self.exit_code = code


def described(session: Session, about: Mapping[str, Any]) -> Fields:
    """Return the status of a run as plain JSON; see docs/reference/control.rst."""
    progress, runs = session.progress, list(session.runs)
    return {
        **about,
        "run": runs[-1].name if runs else None,
        "runs": list(progress.runs),
        "volumes": progress.volumes,
        "missing": progress.missing,
        "repetition_time": runs[-1].first.metadata.get("RepetitionTime") if runs else None,
        "paused": session.paused,
        "ending": session.stop.is_set(),
        "unwritten": session.unwritten,
        "missed": sum(tally.reasons["deadline"] for tally in progress.tallies),
        "warned": progress.warned,
        "warnings": [vars(each) for each in list(progress.warnings)],
        "resources": _plain(progress.resources),
        "link": _linked(progress.link),
        "design": _columns(progress.design),
        "experiments": [_experiment(lane) for lane in session.lanes],
    }


def _experiment(lane: Lane) -> Fields:
    tally, host = lane.tally, lane.host
    process = None if host.is_over else host.process
    return {
        "experiment": lane.name,
        "script": str(lane.recipe.script),
        "state": tally.state,
        "process": process,
        "memory": None if process is None else _resident(process),
        "answers": tally.answers,
        "alternates": tally.alternates,
        "late": tally.late,
        "in_time": tally.in_time,
        "predicted_misses": tally.predicted,
        "expects_miss": tally.expects_miss,
        "usual": lane.usual,
        "deadline": lane.deadline,
        "latency": tally.latency,
        "restarts": tally.restarts,
        "displacement": tally.displacement,
        "dvars": tally.dvars,
        "tsnr": tally.tsnr,
        "spikes": tally.spikes,
        "good_minutes": tally.good_minutes,
        "minutes_to_criterion": tally.minutes_to_criterion,
        "backlog": host.backlog,
        "value": tally.value,
        "values": list(tally.values),
        "recent": tally.recent.as_json,
        "displacements": list(tally.recent.displacements),
        "latencies": tally.recent.latencies_as_json,
        "reasons": dict(tally.reasons),
        "usual_analysis": lane.usual_analysis,
        "advice": tally.advice,
        "destinations": list(lane.destinations),
    }


def _columns(design: Mapping[int, str | None]) -> Fields | None:
    return {"volume": list(design), "condition": list(design.values())} if design else None


def _plain(resources: Resources | None) -> Fields | None:
    return None if resources is None else dict(vars(resources))


def _linked(link: Linked | None) -> Fields | None:
    return None if link is None else {**vars(link), "resources": _plain(link.resources)}


def _resident(process: int) -> int | None:
    """Return the bytes of memory that a process holds; None where the system does not say."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def sockets() -> list[Path]:
    """Return the control sockets of this user's runs, those of the dead among them."""
    return [path for folder in private.folders() for path in sorted(folder.glob("*.sock"))]


def runs() -> Iterator[tuple[Path, Fields]]:
    """Yield the socket and the status of each run in progress; what a killed one left is removed."""
    for path in sockets():
        try:
            yield path, ask(path, {"do": "status"})
        except ConnectionLost as error:
            if path.exists():
                yield path, {"process": _process(path), "error": str(error)}


def _process(path: Path) -> int | None:
    number = path.stem.partition("-")[0]
    return int(number) if number.isdecimal() else None


def ask(path: Path, request: Mapping[str, Any], timeout: float = PATIENCE) -> Fields:
    """Send a request and return the reply; raise Refused where it is not done, ConnectionLost where nobody replies."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(timeout)
        try:
            end.connect(str(path))
            end.sendall(json.dumps(request).encode() + b"\n")
            with end.makefile("rb") as replies:
                line = replies.readline()
        except (ConnectionRefusedError, FileNotFoundError):
            with suppress(OSError):
                path.unlink()
            raise ConnectionLost(f"the run of process {path.stem} is over") from None
        except OSError:
            raise ConnectionLost(f"process {path.stem} does not reply", "is it stopped, or still starting?") from None
    if not line.endswith(b"\n"):
        raise ConnectionLost(f"the run of process {path.stem} has ended")
    reply: Fields = json.loads(line)
    if not reply.pop("ok", False):
        raise Refused(reply.get("error", "refused"), reply.get("hint"), reply.get("code", 1))
    return reply
