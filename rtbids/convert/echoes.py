"""How many echoes a series has, as its header announces it: the run of the first is named before the second has come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from rtbids.convert import private
from rtbids.convert.dicom import Instance

_PAST = (0x52009230, 0x7FE00010)  # PerFrameFunctionalGroupsSequence, PixelData: what is looked for stands before
_CONTRASTS = re.compile(rb"lContrasts\s*=\s*(\d{1,4})\b")  # a line of the protocol as Siemens writes it


def announced(instance: Instance) -> int:
    """Return how many echoes the header says that a TR brings; 1 where it does not say.

    It is asked once a run, and reads elements that no other step needs: of Siemens a text of 100 kB.
    """
    try:
        header = read_partial(BytesIO(instance.content), lambda tag, vr, length: tag in _PAST, force=True)
        return max([1, *_said(header)])
    except Exception:  # a header can hold anything, and parsers raise whatever they stumble over
        return 1


def _said(header: Dataset) -> Iterator[int]:
    """Give what each maker says: in GEMS_ACQU_01, Philips Imaging DD 001, the CSA series header, and SDS 01 of Siemens XA."""
    for number in (
        private.number(header, 0x0019, private.GE_ACQUIRED, 0x7E),
        private.number(header, 0x2001, private.PHILIPS_IMAGE, 0x14),
    ):
        if number is not None:
            yield int(number)
    for text in _protocols(header):
        if isinstance(text, bytes) and (found := _CONTRASTS.search(text)):
            yield int(found[1])


def _protocols(header: Dataset) -> Iterator[object]:
    """Give the elements that hold Siemens's protocol; an enhanced image has it in an item that its frames share."""
    yield private.find(header, 0x0029, private.CSA, 0x20)
    for place in (header, *(header.get("SharedFunctionalGroupsSequence") or ())):
        for item in (place, private.item(place, 0x0021, private.SDS, 0xFE)):
            if item is not None:
                yield private.find(item, 0x0021, private.SDS, 0x19)
