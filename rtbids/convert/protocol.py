"""What the first header of a series says of the whole run: how many echoes and volumes to expect, and how they are measured.

It is asked once a run and reads elements that no other step needs: of Siemens a text of 100 kB, the protocol as it was set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_partial

from rtbids.convert import private
from rtbids.convert.dicom import Instance
from rtbids.volume import NOTHING

_PAST = (0x52009230, 0x7FE00010)  # PerFrameFunctionalGroupsSequence, PixelData: what is looked for stands before
_SETTING = re.compile(rb'^([\w.\[\]]+)[ \t]*=[ \t]*"{0,2}([^"\r\n#]*)', re.MULTILINE)  # a line of the text as Siemens writes it
_COILS = ("sCoilSelectMeas.aRxCoilSelectData[0].asList[0]", "asCoilSelectMeas[0].asList[0]")  # since VD, and before
_COMBINED = {1: "Sum of Squares", 2: "Adaptive Combine"}
_FOURIER = {1: 4 / 8, 2: 5 / 8, 4: 6 / 8, 8: 7 / 8}  # 16 is off
_MOST = 32767  # volumes and echoes; what is beyond is no count


@dataclass(frozen=True)
class Protocol:
    """Echoes that a TR brings, volumes of the run (None where it is not said), and fields of the sidecar."""

    echoes: int = 1
    volumes: int | None = None
    fields: Mapping[str, Any] = field(default_factory=lambda: NOTHING)


SILENT = Protocol()


def read(instance: Instance) -> Protocol:
    """Return what the header of an image announces; nothing where it does not, or makes no sense."""
    try:
        header = read_partial(BytesIO(instance.content), lambda tag, vr, length: tag in _PAST, force=True)
        told = _settings(header)
        fields = {**_of_text(told), **_of_elements(header)}
        repetitions = _whole(told.get("lRepetitions"))
        return Protocol(
            max([1, *_echoes(header, told)]),
            None if repetitions is None else repetitions + 1,
            {name: value for name, value in fields.items() if value is not None},
        )
    except Exception:  # a header can hold anything, and parsers raise whatever they stumble over
        return SILENT


def _echoes(header: Dataset, told: Mapping[str, str]) -> Iterator[int]:
    """Give what each maker says: in GEMS_ACQU_01, Philips Imaging DD 001, and the text of Siemens."""
    for number in (
        private.number(header, 0x0019, private.GE_ACQUIRED, 0x7E),
        private.number(header, 0x2001, private.PHILIPS_IMAGE, 0x14),
        _whole(told.get("lContrasts")),
    ):
        if number is not None:
            yield int(number)


def _of_text(told: Mapping[str, str]) -> dict[str, Any]:
    """Return fields that the text of Siemens has, as dcm2niix reads them."""
    delay = _whole(told.get("lDelayTimeInTR"), most=10**9)
    factor = _whole(told.get("sPat.lAccelFactPE"))
    across = _whole(told.get("sPat.lAccelFact3D"))
    return {
        "ReceiveCoilName": next((told[name] for coil in _COILS if (name := f"{coil}.sCoilElementID.tCoilID") in told), None),
        "CoilCombinationMethod": _COMBINED.get(_whole(told.get("ucCoilCombineMode")) or 0),
        "PulseSequenceDetails": told.get("tSequenceFileName"),
        "DelayTime": delay / 1e6 if delay else None,
        "ParallelReductionFactorInPlane": factor or None,
        "ParallelReductionFactorOutOfPlane": across or None,
        "PartialFourier": _FOURIER.get(_whole(told.get("sKSpace.ucPhasePartialFourier")) or 0),
    }


def _of_elements(header: Dataset) -> dict[str, Any]:
    """Return fields of elements that stand apart: in items that all frames share, and of GE the name of the sequence."""
    fields: dict[str, Any] = {"SequenceName": "\\".join(private.texts(header, 0x0019, private.GE_ACQUIRED, 0x9C)) or None}
    for item in _shared(header, 0x0021, private.SDS, 0xFE):
        for name, low_byte in (("ScanningSequence", 0x5A), ("SequenceVariant", 0x5B), ("ScanOptions", 0x5C)):
            fields[name] = "\\".join(private.texts(item, 0x0021, private.SDS, low_byte)) or None
    for item in _shared(header, 0x2005, private.PHILIPS_FRAME, 0x0E):
        for name in ("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"):
            fields[name] = next(iter(private.as_numbers(item.get(name))), None)
    return fields


def _settings(header: Dataset) -> dict[str, str]:
    """Return the lines of the text in which Siemens keeps its protocol: in the CSA series header, or SDS 01 of Siemens XA."""
    texts = [private.find(header, 0x0029, private.CSA, 0x20), private.find(header, 0x0021, private.SDS, 0x19)]
    places = [*(header.get("SharedFunctionalGroupsSequence") or ()), *_shared(header, 0x0021, private.SDS, 0xFE)]
    texts += [private.find(place, 0x0021, private.SDS, 0x19) for place in places]
    lines = [line for text in texts if isinstance(text, bytes) for line in _SETTING.findall(text)]
    return {name.decode(): value.decode("ascii", "replace").strip() for name, value in reversed(lines)}  # the first counts


def _shared(header: Dataset, group: int, creator: str, low_byte: int) -> Iterator[Dataset]:
    """Give the private item of a header, and that of what its frames share."""
    for place in (header, *(header.get("SharedFunctionalGroupsSequence") or ())):
        if (found := private.item(place, group, creator, low_byte)) is not None:
            yield found


def _whole(text: str | None, most: int = _MOST) -> int | None:
    """Return a number of the text, which may be hexadecimal; None for what is none."""
    try:
        value = int(text or "", 0)
    except ValueError:
        return None
    return value if 0 <= value <= most else None
