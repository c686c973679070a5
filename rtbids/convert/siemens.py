"""What Siemens headers say about phase encoding and slice times (CSA header, group 0019, SDI 02)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from rtbids.convert import enhanced, private
from rtbids.convert.encoding import Encoding
from rtbids.convert.moment import seconds_of_day

_ACCELERATION = re.compile(r"p(\d+)")
_SAME_TIME = 0.01  # seconds: the two clocks of a header differ by 2.5 ms


def encoding(header: Dataset, steps: int) -> Encoding:
    """Return sign and readout; the bandwidth (Hz per pixel) is that along phase encoding."""
    fields = private.csa_fields(header)
    sign = _first(
        private.numbers(header, 0x0021, private.SDI, 0x1C), private.as_numbers(fields.get("PhaseEncodingDirectionPositive"))
    )
    bandwidth = _first(
        private.numbers(header, 0x0021, private.SDI, 0x53),
        private.numbers(header, 0x0019, private.SIEMENS_MR, 0x28),
        private.as_numbers(fields.get("BandwidthPerPixelPhaseEncode")),
    )
    whole_sign = None if sign is None else int(sign)
    if not bandwidth or steps < 2:
        return Encoding(whole_sign)
    spacing = 1.0 / (bandwidth * steps)
    return Encoding(whole_sign, spacing, spacing * (steps - 1))


def coils(header: Dataset) -> dict[str, Any]:
    """Return the BIDS fields about coils, table and correction that Siemens keeps in private elements and in ImageType."""
    fields = private.csa_fields(header)
    elements = private.texts(header, 0x0051, private.SIEMENS_MR, 0x0F) or private.texts(header, 0x0021, private.SDI, 0x4F)
    elements = elements or fields.get("ImaCoilString", [])
    position = private.as_numbers(fields.get("ImaRelTablePosition")) or private.numbers(header, 0x0021, private.SDI, 0x59)
    nanoseconds = _first(
        private.numbers(header, 0x0019, private.SIEMENS_MR, 0x18), private.numbers(header, 0x0021, private.SDI, 0x42)
    )
    kinds = {str(value) for value in header.get("ImageType") or ()} | set(private.texts(header, 0x0021, private.SDI, 0x75))
    corrected = True if kinds & {"DIS2D", "DIS3D"} else False if "ND" in kinds else None
    return {
        "ReceiveCoilActiveElements": elements[0].strip() if elements else None,
        "DwellTime": round(nanoseconds * 1e-9, 12) if nanoseconds else None,
        "NonlinearGradientCorrection": corrected,
        "TablePosition": position if len(position) == 3 else None,
    }


def acceleration(header: Dataset) -> float | None:
    """Return the in-plane acceleration of a text as ``p2``."""
    found = _ACCELERATION.match("".join(private.texts(header, 0x0051, private.SIEMENS_MR, 0x11)))
    return float(found[1]) if found else None


def mosaic_timing(dataset: Dataset, fields: Mapping[str, list[str]], slices: int, reverse: bool) -> tuple[float, ...] | None:
    """Return slice times (s) of a mosaic in order of the slices; None where the header has none."""
    times = private.as_numbers(fields.get("MosaicRefAcqTimes")) or private.numbers(dataset, 0x0019, private.SIEMENS_MR, 0x29)
    if len(times) < slices:
        return None
    seconds = [round(time / 1000.0, 7) for time in times[:slices]]
    earliest = min(0.0, *seconds)
    seconds = [time - earliest for time in seconds]
    return tuple(seconds[::-1] if reverse else seconds)


def frame_timing(frames: Sequence[Dataset]) -> tuple[float, ...] | None:
    """Return slice times (s) of an enhanced volume, whose `frames` are in order of the slices.

    The time after start (SDI 02) ignores simultaneous slices in the first volume of a run (seen in XA60); where the frames' own
    times of acquisition contradict it, those are taken.
    """
    after_start = _from_earliest([_after_start(frame) for frame in frames])
    of_frames = _from_earliest([_frame_moment(frame) for frame in frames])
    if after_start is None or of_frames is None or len(set(of_frames)) == 1:
        return after_start or of_frames
    agree = all(abs(one - other) < _SAME_TIME for one, other in zip(after_start, of_frames, strict=True))
    return after_start if agree else of_frames


def _from_earliest(times: Sequence[float | None]) -> tuple[float, ...] | None:
    known = [time for time in times if time is not None]
    return tuple(round(time - min(known), 6) for time in known) if known and len(known) == len(times) else None


def _after_start(frame: Dataset) -> float | None:
    """Return the time after start (s); the classic export has it beside the other elements or in an item of its own."""
    said = private.number(enhanced.sdi(frame), 0x0021, private.SDI, 0x04)
    return private.number(frame, 0x0021, private.SDI, 0x04) if said is None else said


def _frame_moment(frame: Dataset) -> float | None:
    content = (frame.get("FrameContentSequence") or [frame])[0]
    return seconds_of_day(str(content.get("FrameAcquisitionDateTime") or "")[8:])


def broken(timing: Sequence[float], repetition_time: float | None) -> bool:
    """Say whether slice times cannot be true: all the same, or beyond the TR. The first volume of a run may have such."""
    return len(timing) > 1 and (len(set(timing)) == 1 or (repetition_time is not None and max(timing) > repetition_time))


def _first(*candidates: list[float]) -> float | None:
    return next((values[0] for values in candidates if values), None)
