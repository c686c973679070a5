"""Series that are kept in ``sourcedata``: which of them are malformed, and what a user is told of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rtbids import nifti
from rtbids.errors import BadData
from rtbids.plural import counted

if TYPE_CHECKING:
    from rtbids.archive.placing import Aside
    from rtbids.convert.places import Decision
    from rtbids.convert.session import Gathered
    from rtbids.convert.whole_series import Output

_HEADER = 352  # bytes


def said(aside: Aside, gathered: Gathered, decisions: Iterable[Decision], outputs: Iterable[Output]) -> str:
    """Return what to say of a series, or of images of one, that is kept; which option may help, where one does."""
    from rtbids.convert import functional

    title = f"series {aside.number} ({aside.description or 'no description'})"
    some = f"{counted(aside.images, 'image')} of {title} {'is' if aside.images == 1 else 'are'}"
    what = some if gathered.reason else f"{title} is"
    unruled = any(decision.place is None and not decision.rule for decision in decisions)
    most = max(map(_volumes, outputs), default=0) if unruled else 0
    hint = f"; it has {most} volumes: {functional.hint(aside.number)}" if most >= functional.MANY else ""
    where = "kept as DICOM in sourcedata" if aside.images else "left out of the data set"
    return f"{what} {where}: {aside.reason}{hint}"


def _volumes(output: Output) -> int:
    try:
        with output.nifti.open("rb") as file:
            shape = nifti.unpack(file.read(_HEADER)).shape
    except (OSError, BadData):  # a hint is not worth a fault
        return 0
    return shape[3] if len(shape) > 3 else 1


def nothing_good(reasons: Sequence[str]) -> BadData:
    """Return the fault of a source of whose series none is converted, for `reasons`, or because a rule sends it away."""
    if len(reasons) == 1:
        return BadData(
            f"the one series that was to be converted could not be, and is kept as DICOM in sourcedata: {reasons[0]}"
        )
    return BadData(
        f"all {len(reasons)} series to be converted are malformed or incomplete, and kept as DICOM in sourcedata",
        "sourcedata/series.tsv has the reasons",
    )
