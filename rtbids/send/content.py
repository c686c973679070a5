"""Whether two files are one image, though a receiver may have written it anew."""

from __future__ import annotations

from io import BytesIO

from rtbids.dicomnet.image import taken_apart
from rtbids.errors import BadData


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two files hold the same dataset, whatever their meta information and their encoding of it."""
    try:
        first, second = taken_apart(one), taken_apart(other)
    except BadData:
        return False
    return first.dataset == second.dataset or _decoded(one) == _decoded(other)


def _decoded(content: bytes) -> object:
    from pydicom import dcmread

    try:
        dataset = dcmread(BytesIO(content))
        dataset.file_meta.clear()
        return {element.tag: element.value for element in dataset if element.tag.element != 0}  # no group lengths
    except Exception:  # foreign bytes, and parsers raise whatever they stumble over
        return object()
