"""Whether a value that was taken out of a file is still to be read somewhere in its bytes.

The search knows nothing of how the values were taken out: it looks at the bytes that would be written, at text in every
character set of DICOM and in UTF-16, in capitals or not, at dates in other spellings, at the parts of names, and into what is
compressed.
What is looked for, and what is not because it would be found by chance, is in `rtbids.deidentify.needles`; what of a file is
looked at, in `rtbids.deidentify.layers` and `rtbids.deidentify.places`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial

from pydicom import dcmread

from rtbids.deidentify import charsets
from rtbids.deidentify.clean import Clean
from rtbids.deidentify.layers import halves, inflated, plain_text, unpacked
from rtbids.deidentify.needles import Needle, folded, needles
from rtbids.deidentify.places import Place, elements
from rtbids.deidentify.profile import Action, Profile
from rtbids.deidentify.words import is_of_the_trade, words_kept
from rtbids.errors import BadData

_PIXELS = 0x7FE00010
_OUR_UIDS = re.compile(rb"2\.25\.\d{20,39}")
_LEAST_TECHNICAL = 4  # characters of a value that is looked for in codes and the names of makers
_TEXT = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_BINARY = frozenset(("OB", "UN", "OW"))
# Words of the standard or of the maker, which a removed value may equal by chance; and what de-identification itself says.
_MAKERS = frozenset((0x00080070, 0x00081090, 0x00181020))
_TERMS = _MAKERS | {0x00120062, 0x00120063, 0x00020012, 0x00020013}
_UTF_8 = b"ISO_IR 192"
_NEW = (Action.DUMMY, Action.REPLACE, Action.PATIENT, Action.ACCESSION)

PLAIN = Profile()
Keeps = Callable[[int, str], bool]


class Survived(BadData):
    """What was taken out of a file is still in it."""


def check(clean: Clean, profile: Profile = PLAIN) -> None:
    """Raise `Survived`, naming the elements, where a value that went is still in the bytes that are to be written.

    What a recipe of `profile` keeps may be all of a value that went elsewhere, but may not hold one among other words.
    """
    stand_ins = [path for path, action in clean.done.items() if action in _NEW]
    removed = [value for value in clean.removed_public if not _is_of_the_trade(value, profile.options.words)]
    lesser = [value for value in clean.removed - clean.removed_public if not _is_of_the_trade(value, profile.options.words)]
    spoken = _spoken(clean)
    found = survivors(clean.content, removed, lesser, stand_ins, partial(_keeps, profile), names(clean), spoken)
    if found:
        named = ", ".join(found[:8]) + (f" and {len(found) - 8} more" if len(found) > 8 else "")
        hint = "the file is not written; a recipe's rule for the element removes it"
        raise Survived(f"a removed value is still to be read in {named}", hint)


def survivors(
    content: bytes,
    removed: Collection[str | bytes],
    lesser: Collection[str | bytes] = (),
    written: Collection[str] = (),
    keeps: Keeps = lambda tag, vr: False,
    names: Collection[str] | None = None,
    spoken: Collection[str] = (),
) -> tuple[str, ...]:
    """Return where in the Part-10 file `content` a value of `removed` is still to be read, as element paths.

    Parameters
    ----------
    content
        The file as it is to be written.
    removed, lesser
        The values taken out; `lesser` are those that only private elements held.
    written
        Paths of elements whose value is a stand-in, which may equal an original that was a stand-in itself.
    keeps
        Tells by tag and VR of what is kept on purpose, where a value may stand by itself.
    names
        Those of the values taken out that persons are called by, whose every part counts; by default told by their form.
    spoken
        Those that coded elements and the names of makers held: there they stay beside others that went.
    """
    wanted = needles(removed, lesser, names)
    content = inflated(content)
    head, pixels = halves(content)
    suspects = _suspects(head, wanted) | _in_pixels(pixels, wanted)
    said = frozenset(folded(value.encode()) for value in spoken)
    return tuple(dict.fromkeys(_places(content, head, suspects, frozenset(written), keeps, said))) if suspects else ()


def names(clean: Clean) -> frozenset[str]:
    """Return the names of persons among what went: in other texts a caret makes no name of all the words around."""
    values = (charsets.decoded(element.value, element.charset) for element in clean.gone if element.vr == "PN")
    return frozenset(one.strip() for value in values for one in value.split("\\"))


def _spoken(clean: Clean) -> frozenset[str]:
    """Return the values that went from coded elements and the names of makers, of which others stay."""
    technical = (element for element in clean.gone if element.vr == "CS" or element.tag in _MAKERS)
    values = (charsets.decoded(element.value, element.charset) for element in technical)
    return frozenset(one.strip(" \0") for value in values for one in value.split("\\"))


def _is_of_the_trade(value: str | bytes, words: frozenset[str]) -> bool:
    """Tell whether a text is made of nothing but words that names of protocols may keep: it names nobody."""
    if not isinstance(value, str) or "^" in value:
        return False
    text = " ".join(value.split())
    return bool(text) and words_kept(text.encode(), _UTF_8, words).decode() == text


def _keeps(profile: Profile, tag: int, vr: str) -> bool:
    change = profile.change(tag, vr)
    return change is not None and change.action is Action.KEEP


def _suspects(head: bytes, wanted: Iterable[Needle]) -> set[Needle]:
    """Return the needles that may be in `head` or what is compressed in it: cheaply, and a few too many."""
    layers = [head, *unpacked(head)]
    text = [folded(_OUR_UIDS.sub(b"", layer)) for layer in layers]
    exact = [folded(layer) for layer in layers]
    return {needle for needle in wanted if any(needle.folded in layer for layer in (text if needle.digits else exact))}


def _in_pixels(pixels: bytes, wanted: Iterable[Needle]) -> set[Needle]:
    """Return the needles found in runs of plain text among the pixels."""
    text = plain_text(pixels)
    return {needle for needle in wanted if needle.strong and needle.exact in text} if text else set()


def _places(
    content: bytes, head: bytes, suspects: Collection[Needle], written: frozenset[str], keeps: Keeps, spoken: frozenset[bytes]
) -> Iterator[str]:
    """Yield where the `suspects` really are; what is in no element is told by the part of the file."""
    try:
        dataset = dcmread(io.BytesIO(content), force=True)
        places = [place for part in (dataset.file_meta, dataset) for place in elements(part)]
    except Exception:  # whatever pydicom says of bytes it cannot read: then nobody can vouch for them
        yield "a file that cannot be read"
        return
    looked_for = _telling(suspects, places)
    for place in places:
        if place.path in written:
            continue
        if _is_technical(place):
            if _is_repeated(place, [needle for needle in suspects if needle.folded not in spoken]):
                yield place.path
        elif _any_counts(looked_for, place, is_kept=keeps(place.tag, place.vr)):
            yield place.path
    inside = folded(b"\n".join(place.value for place in places))
    for needle in looked_for:
        if needle.strong and needle.folded not in inside and needle.found(head):
            yield "bytes outside of its elements"


def _telling(suspects: Collection[Needle], places: Sequence[Place]) -> list[Needle]:
    """Leave out what is the name of the maker or of the model, which a station may be called like."""
    terms = {folded(term.strip()) for place in places if place.tag in _TERMS for term in place.value.split(b"\\")}
    words = terms | {word for term in terms for word in term.split()}
    telling = (needle for needle in suspects if needle.folded not in (words if needle.lesser else terms))
    return [needle for needle in telling if not (needle.name and _is_a_word(needle.exact))]


def _is_a_word(part: bytes) -> bool:
    """Tell whether a part of a name is a word of the trade too, as in Research^Volunteer; the engine lets it stand."""
    return part.isascii() and _is_of_the_trade(part.decode(), frozenset())


def _is_technical(place: Place) -> bool:
    """Tell whether a place holds public codes, or the name of a maker, of a model or of software."""
    return place.tag in _MAKERS or (place.vr == "CS" and not place.tag >> 16 & 1)


def _is_repeated(place: Place, suspects: Iterable[Needle]) -> bool:
    """Tell whether what is none of the trade in codes or in a maker's words repeats a value that was taken out."""
    mark = b"\\" if place.vr == "CS" else None
    pieces = place.value.split(mark) if mark else place.value.replace(b"\\", b" ").split()
    telling = b" ".join(piece for piece in pieces if not is_of_the_trade(piece.decode("latin-1").strip(" \0")))
    return any(needle.found(telling) for needle in suspects if not needle.lesser and len(needle.exact) >= _LEAST_TECHNICAL)


def _any_counts(looked_for: Collection[Needle], place: Place, *, is_kept: bool) -> bool:
    """Tell whether finding any of these in `place` means that a value lives on."""
    if place.tag == _PIXELS:
        return any(needle.strong and needle.exact in place.value for needle in looked_for)
    by_itself = folded(place.value).strip() if is_kept else b""
    layers = (place.value, *unpacked(place.value)) if place.vr in _BINARY else (place.value,)
    for layer in layers:
        text = folded(layer)
        suspects = [needle for needle in looked_for if needle.folded in text and needle.folded != by_itself]
        if any(_counts(needle, layer) for needle in suspects if _may_count(needle, place)):
            return True
    return False


def _counts(needle: Needle, layer: bytes) -> bool:
    return needle.found(_OUR_UIDS.sub(b"", layer) if needle.digits else layer)


def _may_count(needle: Needle, place: Place) -> bool:
    """Tell whether `needle` says anything in such a place."""
    is_private = bool(place.tag >> 16 & 1)
    if place.tag in _TERMS or place.vr == "CS" or (is_private and place.tag & 0xFFFF < 0x100):
        return False
    if needle.lesser and not is_private and folded(place.value).strip() == needle.folded:
        return False
    if needle.lesser and is_private and not (needle.digits or b"^" in needle.exact):
        return False  # what is technical may well stand in two blocks
    if needle.strong:
        return True
    if needle.name:
        return place.vr in _TEXT or (place.vr in _BINARY and len(needle.exact) > 3)
    return place.vr in _TEXT and not is_private
