"""What headers say of a person, and what may be said without it: the words of names, and the texts of a sidecar."""

from __future__ import annotations

import functools
import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from rtbids.errors import BadData, InputMissing

if TYPE_CHECKING:
    from rtbids.deidentify.mapping import Mapping
    from rtbids.deidentify.notes import Element

logger = logging.getLogger("rtbids")
NAMES = ("ProtocolName", "SeriesDescription")
_PIXELS = b"\xe0\x7f\x10\x00"
_BREAKS = re.compile(r"([\s_\-^/+,;:()\[\]]+)")
_LABEL_GONE = re.compile(r"(?:^|[_ ])(?:sub|ses|task|acq|run)(?=[_ ]|$)")  # an entity whose label was cut out
_UNICODE = b"ISO_IR 192"
# What names a person, a place or a device: patient ID, other IDs, accession number, study ID, institution and department,
# addresses, station, serial number, telephone numbers and mail.
_DIRECT = frozenset(
    {0x00100020, 0x00101000, 0x00101001, 0x00080050, 0x00200010, 0x00080080, 0x00080081, 0x00081040, 0x00101040, 0x00081010}
    | {0x00181000, 0x00102154, 0x00102155, 0x00101090, 0x00100021}
)


@dataclass
class Words:
    """What the headers so far say of a person; `left` returns a text without it."""

    _gone: set[Element] = field(default_factory=set)
    _seen: dict[str, str] = field(default_factory=dict)

    def learn(self, gone: Iterable[Element]) -> None:
        """Remember what was taken out of a header."""
        new = set(_direct(gone))
        if not new <= self._gone:
            self._gone |= new
            self._seen.clear()

    def left(self, text: str) -> str:
        """Return a text without the words that repeat what identifies, with what separated those that stay."""
        if not self._gone:
            return text
        if text not in self._seen:
            pieces = _BREAKS.split(text)
            told = self._telling([text, *pieces[::2]])
            left = _joined(pieces, told) if told else text
            self._seen[text] = "" if told and self._telling([left]) else left
        return self._seen[text]

    def _telling(self, texts: Iterable[str]) -> set[str]:
        from rtbids.deidentify import text as free_text

        asked = {(one.encode(), _UNICODE): one for one in texts if one}
        return {asked[found] for found in free_text.cleaned(asked, self._gone)}


def _joined(pieces: list[str], told: set[str]) -> str:
    left = ""
    for between, piece in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        if piece and piece not in told:
            left += (between if left else "") + piece
    return _LABEL_GONE.sub("", left)


def _direct(gone: Iterable[Element]) -> Iterator[Element]:
    """Give what names somebody or something, but for words that the names of protocols are made of anyway."""
    from rtbids.deidentify.charsets import decoded
    from rtbids.deidentify.words import vocabulary

    for element in gone:
        text = decoded(element.value, element.charset) if element.vr == "PN" or element.tag in _DIRECT else ""
        if element.vr == "PN":
            parts = [part for part in re.split(r"[\s^=,.\-_\\]+", text) if part.casefold() not in vocabulary()]
            yield element._replace(value="^".join(parts).encode(), charset=_UNICODE)
        elif element.vr in ("DA", "DT") or (text and text.casefold() not in vocabulary()):
            yield element


@dataclass(frozen=True)
class Header:
    """What is left of the header of a series: its bytes before the pixels, and its names."""

    content: bytes
    names: tuple[str, str]

    def holds(self, text: str) -> bool:
        """Tell whether a text stands in it, as a whole or value by value."""
        return all(part.encode() in self.content for part in text.split("\\"))


NOTHING_LEFT = Header(b"", ("", ""))


def read(content: bytes, names: tuple[str, str], words: Words) -> Header:
    """Return the header of an image without what identifies; `words` learn what that is."""
    from rtbids.deidentify import part10
    from rtbids.deidentify.engine import Deidentifier
    from rtbids.deidentify.profile import Options, Profile

    options = Options(dates="removed", burned_in=True, faces=True)
    try:
        clean = Deidentifier(Profile(options), mapping()).clean(content)
    except BadData:
        logger.warning("a header cannot be searched for what identifies: no text of it is kept")
        return NOTHING_LEFT
    words.learn(clean.gone)
    whole = part10.read(clean.content).content  # inflated, where it was not
    return Header(whole[: whole.rfind(_PIXELS)], (words.left(names[0]), words.left(names[1])))


def prepare() -> None:
    """Read tables and words now, which takes some 0.5 s: no volume is to wait for it."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    from rtbids.deidentify import private

    private.rule("SIEMENS CSA HEADER", 0x0029, 0x10)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID, image.PatientName, image.ProtocolName = MRImageStorage, "1.2.3", "A^B", "C"
    image.Rows = image.Columns = image.SamplesPerPixel = 1
    image.BitsAllocated, image.PixelData = 16, b"\0\0"
    image["PixelData"].VR = "OW"
    file = BytesIO()
    image.save_as(file, enforce_file_format=True)
    read(file.getvalue(), ("C", "C"), Words())


@functools.cache
def mapping() -> Mapping:
    """Return the site's mapping where it has a key, else one for this call alone, which nobody can follow."""
    from rtbids.deidentify.mapping import Key, Mapping, key_path

    try:
        return Mapping(Key.load(key_path()))
    except InputMissing:
        return Mapping(Key(secrets.token_bytes(32)))


@functools.cache
def has_key() -> bool:
    """Tell whether the site has a key."""
    from rtbids.deidentify.mapping import key_path

    return key_path().exists()


def names_of(dataset: Any) -> tuple[str, str]:
    """Return the name of the protocol and the description of the series."""
    protocol, description = (str(dataset.get(keyword) or "") for keyword in NAMES)
    return protocol, description


def names_in(content: bytes) -> tuple[str, str]:
    """Return the same of a file."""
    from rtbids.deidentify import header as top
    from rtbids.deidentify import part10

    try:
        header = top.Header(part10.read(content))
        return header(NAMES[0]), header(NAMES[1])
    except Exception:  # foreign bytes; who reads the file says what is wrong with it
        return "", ""
