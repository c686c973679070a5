"""A DICOM file taken apart, as the network carries it: what it is, and its dataset in a transfer syntax."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from rtbids.dicomnet.association import COMPRESSED, MR, UNCOMPRESSED
from rtbids.errors import BadData

_LITTLE_ENDIAN = UNCOMPRESSED[:2]  # every receiver takes implicit (PS3.5, 10.1), and most explicit


@dataclass(frozen=True)
class Image:
    """What a file is, and its dataset as it is encoded."""

    sop_class: str
    instance: str
    syntax: str
    dataset: memoryview


def taken_apart(content: bytes) -> Image:
    """Read the meta information alone; raise BadData where there is none."""
    from pydicom import dcmread

    end = 144 + int.from_bytes(content[140:144], "little")  # of the meta information, whose length comes first (PS3.10, 7.1)
    try:
        meta = dcmread(BytesIO(content[:end])).file_meta
        sop_class, instance, syntax = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        raise BadData("expected a DICOM file with its meta information, found something else") from None
    return Image(str(sop_class), str(instance), str(syntax), memoryview(content)[end:])


def offers(files: Sequence[bytes]) -> list[tuple[str, str]]:
    """Return pairs of class and transfer syntax, each a presentation context of its own, or the receiver would pick one."""
    examples: Iterator[tuple[str, str]] = ((file.sop_class, file.syntax) for file in map(taken_apart, files))
    usual = itertools.product(MR, UNCOMPRESSED + COMPRESSED)
    return list(dict.fromkeys([*examples, *usual]))[:128]  # PS3.8, 7.1.1.13: context IDs are the odd numbers up to 255


def agreed(content: bytes, contexts: Sequence[tuple[str, str]]) -> Image | None:
    """Return an image as a receiver takes it who has agreed to these classes and transfer syntaxes; None where there is no way.

    It is the file's own dataset byte for byte where that is agreed, and else encoded anew, uncompressed.
    """
    image = taken_apart(content)
    if (image.sop_class, image.syntax) in contexts:
        return image
    syntax = next((syntax for syntax in _LITTLE_ENDIAN if (image.sop_class, syntax) in contexts), None)
    return _encoded(content, syntax) if syntax else None


def _encoded(content: bytes, syntax: str) -> Image | None:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import UID

    file = BytesIO()
    try:
        dataset = dcmread(BytesIO(content))
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            dataset.decompress(generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dcmwrite(file, dataset, enforce_file_format=True)
    except Exception:  # no plug-in, another byte order, or a header that pydicom does not write
        return None
    return taken_apart(file.getvalue())


def cut_short(content: bytes) -> bytes:
    """Return a file, whole in itself, whose pixel data end half way; raise BadData where it has none that could."""
    from pydicom import dcmread, dcmwrite

    file = BytesIO()
    try:
        dataset = dcmread(BytesIO(content))
        if dataset.file_meta.TransferSyntaxUID.is_compressed:
            raise ValueError
        dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]
        dcmwrite(file, dataset)
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        raise BadData("expected uncompressed pixel data, to be cut short, found none") from None
    return file.getvalue()
