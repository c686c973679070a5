"""What SOURCE on a command line means, made into items or units: a DICOM folder, a data set or a run to replay, a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rtbids.cli import dicom_sources, far_sources, stream_sources
from rtbids.cli.dicom_sources import OTHER, SAYS_NOTHING
from rtbids.cli.request import Kind, Live, Request, kind_of
from rtbids.clock import CLOCK
from rtbids.errors import UsageFault
from rtbids.pipeline import settled
from rtbids.stream import endpoints, units
from rtbids.stream.units import Unit
from rtbids.volume import Item, Volume
from rtbids.volume import volumes as volumes_of


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


def items(request: Request) -> Iterator[Item]:
    """Return the volumes and ends of runs that a request asks for."""
    form = kind_of(request.source)
    if form != "bids" and any(not int(label) for label in request.entities.get("run", "1").split(",")):
        raise UsageFault("--run 0: runs are counted from 1")  # but one that is there already may be called so
    return request.withheld.items(_of(form, request))


def _of(form: Kind, request: Request) -> Iterator[Item]:
    match form:
        case "bids" if request.deidentify:
            raise UsageFault(f"{request.source}: --deidentify is for DICOM files, found {OTHER['bids'][0]}", SAYS_NOTHING)
        case "bids":
            return _replayed(request)
        case "stream" if endpoints.is_far(request.source):
            return far_sources.items(request)
        case "stream":
            return stream_sources.items(request)
        case "dicom":
            return dicom_sources.converted(dicom_sources.instances(request), request, dicom_sources.look_ahead(request))


def _replayed(request: Request) -> Iterator[Item]:
    from rtbids.replay import dataset as replay

    if (runs := request.entities.get("run")) and "," in runs:
        raise UsageFault(f"--run {runs}: one run at a time can be picked from a data set")
    filters: Mapping[str, str] = request.entities
    return replay.items(Path(request.source), filters, request.speed, CLOCK, request.stop)


def stream(request: Request) -> Iterator[Unit]:
    """Return what a request asks for in the units that a stream goes on by.

    The members of a stream pass as they are, but for identifiers; what is watched is converted.
    """
    form = kind_of(request.source)
    if endpoints.is_far(request.source):
        return far_sources.units(request)
    if form == "bids":
        raise UsageFault(f"{request.source}: a data set is no stream", f"rtbids replay {request.source} | rtbids stream - DEST")
    if form == "dicom" or request.entities:
        return units.of_items(items(request))
    return units.of_members(stream_sources.members(request))
