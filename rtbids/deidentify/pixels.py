"""Images whose pixels may show who it is, and what is no image at all: both are refused."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray
from pydicom._uid_dict import UID_dictionary

from rtbids.deidentify.profile import Options
from rtbids.deidentify.reading import CutShort, Found
from rtbids.errors import BadData

_TAKE = "look at it; --burned-in takes such images as they are"
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds .1 to .4
_SCREENS = frozenset({"OT", "SC", "DOC", "AU", "HC", "XC", "GM", "SM", "ES", "OP", "KO", "PR", "SR", "REG", "RTSTRUCT", "PLAN"})
_SCREEN_WORDS = ("SCREEN", "SECONDARY CAPTURE", "SCANNED", "FILMED")
_OVERLAY_MASK, _OVERLAY_ROWS, _OVERLAY_DATA = 0xFF01FFFF, 0x60000010, 0x3000
_SUBSAMPLED = {"_422": 2 / 3, "_420": 1 / 2}
_IMAGE_WORD = "Image Storage"


class Refused(BadData):
    """A whole file that must not go on as it is: its pixels, or what it holds in their place, may say who it is."""


Said = Callable[[str], str]


def check(said: Said, sop_class: str, options: Options) -> None:
    """Raise Refused for what the profile cannot make safe; `said` gives the header's value of a keyword, "" for none."""
    _check_kind(sop_class)
    if not options.burned_in:
        _check_text(said, sop_class)
    if said("RecognizableVisualFeatures").upper() == "YES" and not options.faces:
        raise Refused("its header says that a face can be recognised in it", "--faces takes such images as they are")


def check_overlays(tags: Collection[int], options: Options) -> None:
    """Raise Refused for an overlay that has no bits of its own: they lie in those of the pixels that hold no image."""
    groups = {tag >> 16 for tag in tags if tag & _OVERLAY_MASK == _OVERLAY_ROWS}
    if any(group << 16 | _OVERLAY_DATA not in tags for group in groups) and not options.burned_in:
        raise Refused("an overlay lies in the unused bits of its pixels, and may be text", _TAKE)


def check_whole(said: Said, pixels: Found) -> int:
    """Return how many bytes of pixels there are to be, of even number; raise CutShort for an image with fewer.

    Compressed pixels have no length of their own: that their end is there is all that can be told without reading them.
    """
    promised, length = _promised(said), pixels.stop - pixels.value
    if not promised:
        raise BadData("its rows and columns are missing or none, so it is no image")
    if not pixels.undefined and length < promised:
        raise CutShort(f"the pixel data hold {length} of {promised} bytes")
    return promised + promised % 2


def check_unused(said: Said, values: bytes, order: str, options: Options) -> None:
    """Raise Refused where the bits of pixels that hold no image are neither zero nor the sign's: text may be there.

    `order` is ``<`` or ``>``, of the bytes.
    """
    allocated, stored = _whole(said("BitsAllocated")), _whole(said("BitsStored"))
    high = _whole(said("HighBit")) if said("HighBit") else stored - 1
    if options.burned_in or allocated not in (8, 16, 32) or not 0 < stored < allocated or not stored <= high + 1 <= allocated:
        return
    image = np.frombuffer(values, f"{order}u{allocated // 8}", len(values) * 8 // allocated)
    unused = ((1 << allocated) - 1) ^ ((1 << stored) - 1) << high + 1 - stored
    if int(np.bitwise_or.reduce(image, initial=0)) & unused and not _are_signs(said, image, high):
        raise Refused("the unused bits of its pixels are not empty, and may be text", _TAKE)


def _are_signs(said: Said, image: NDArray[np.unsignedinteger], high: int) -> bool:
    """Tell whether the bits above those of signed numbers repeat the sign, as they should."""
    above = image >> high
    return said("PixelRepresentation") == "1" and bool(np.isin(above, (0, np.iinfo(image.dtype).max >> high)).all())


def _check_kind(sop_class: str) -> None:
    name = UID_dictionary.get(sop_class, (sop_class,))[0]
    if _IMAGE_WORD in name and "Encapsulated" not in name:
        return
    what = name if name != sop_class else "a kind of object that is a maker's own"
    raise Refused(f"it is no image ({what}), and what it holds cannot be de-identified", "it is left out")


def _check_text(said: Said, sop_class: str) -> None:
    if said("BurnedInAnnotation").upper() == "YES":
        raise Refused("its header says that there is text in its pixels", _TAKE)
    if sop_class == _SECONDARY or sop_class.startswith(_SECONDARY + "."):
        raise Refused("it is a secondary capture, and its pixels may show who it is", _TAKE)
    if said("Modality").upper() in _SCREENS:
        raise Refused("its modality is one of photographs, screens and documents, whose pixels may show who it is", _TAKE)
    if any(word in said("ImageType").upper().replace("_", " ") for word in _SCREEN_WORDS) or said("ConversionType"):
        raise Refused("it is a copy of a screen or of paper, and its pixels may show who it is", _TAKE)


def _promised(said: Said) -> int:
    """Return how many bytes of uncompressed pixels the header promises (PS3.5, 8.1.1)."""
    rows, columns, bits = (_whole(said(word)) for word in ("Rows", "Columns", "BitsAllocated"))
    samples, frames = _whole(said("SamplesPerPixel")) or 1, _whole(said("NumberOfFrames")) or 1
    subsampled = next((part for name, part in _SUBSAMPLED.items() if name in said("PhotometricInterpretation")), 1.0)
    return -(-int(rows * columns * bits * samples * frames * subsampled) // 8)


def _whole(text: str) -> int:
    return int(text) if text.isdigit() else 0
