"""One DICOM file in, one out: de-identified by a profile and the key of a site, or not at all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from pydicom._uid_dict import UID_dictionary

from rtbids.deidentify import charsets, compressed, dates, markers, part10, pixels, text, values, words
from rtbids.deidentify.clean import Clean, Done
from rtbids.deidentify.header import Header, uid_text
from rtbids.deidentify.mapping import Identifiers, Mapping
from rtbids.deidentify.notes import Edit, Element, Notes, Rules, edited
from rtbids.deidentify.profile import PATIENT_ID, Action, Options, Profile
from rtbids.deidentify.reading import Found
from rtbids.deidentify.walk import Walk
from rtbids.errors import BadData, RtbidsError, internal_fault

_EXTENDED_TABLES = (0x7FE00001, 0x7FE00002)
_UNREADABLE = (ValueError, IndexError, OverflowError, RecursionError, EOFError, struct.error, zlib.error)
_ALREADY = "it says that it is de-identified already: its IDs and dates are changed once more"
_STANDS_IN = {"StudyInstanceUID": "study", "SeriesInstanceUID": "series", "SOPInstanceUID": "image"}


class InternalFault(BadData):
    """A fault of rtbids itself, told by its place and kind; its own words could quote what stands in the file."""

    def __init__(self, error: Exception) -> None:
        super().__init__(internal_fault(error), "please report it; the file is left out")


class Person(NamedTuple):
    """Whose file it is: the old ID and the new one, and by how many days the dates move."""

    old: str
    patient: str
    accession: str
    days: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Deidentifier:
    """The engine: one pass over a file, and a second one where a text that stays repeats what went."""

    profile: Profile
    mapping: Mapping

    def clean(self, content: bytes) -> Clean:
        """Return the file de-identified.

        Raises
        ------
        Refused
            Its pixels, or what it holds in place of pixels, may say who it is.
        BadData
            It is no DICOM file, or damaged, or cut short.
        ConnectionLost
            The service of identifiers, where there is one, gives none at the moment.
        """
        try:
            return self._clean(bytes(content))
        except RtbidsError:  # ConnectionLost too: a service of identifiers that is down is no fault of the file
            raise
        except _UNREADABLE as error:  # foreign bytes; the cause would quote what stands in the header
            raise BadData(f"it is no DICOM file that can be read ({type(error).__name__})") from None
        except Exception as error:
            raise InternalFault(error) from None

    def _clean(self, content: bytes) -> Clean:
        file = part10.read(content)
        header = Header(file)
        sop_class, instance = header("SOPClassUID"), header("SOPInstanceUID")
        if not sop_class or not instance:
            raise BadData(f"its {'SOP Class UID' if not sop_class else 'SOP Instance UID'} is missing, so it is no DICOM image")
        pixels.check(header, sop_class, self.profile.options)
        pixels.check_overlays(header.tags(), self.profile.options)
        edits = _pixels_alone(file, header, self.profile.options)
        person = self._person(header)
        profile = self.profile.for_file(header)
        notes, dataset = self._passes(file, header, profile, person, edits)
        new = {word: self._uids(header(word)) for word in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")}
        return Clean(
            part10.written(file, dataset, sop_class, new["SOPInstanceUID"]),
            sop_class,
            new["SOPInstanceUID"],
            new["SeriesInstanceUID"],
            new["StudyInstanceUID"],
            person.patient,
            f"{person.patient}/{new['SeriesInstanceUID'] or 'series'}/{new['SOPInstanceUID']}.dcm",
            Done(notes),
            frozenset(notes.gone),
            (*person.remarks, *sorted(notes.remarks)),
            person.accession,
            person.days if profile.options.dates == "shifted" else None,
        )

    def _passes(
        self, file: part10.File, header: Header, profile: Profile, person: Person, edits: list[Edit]
    ) -> tuple[Notes, bytes]:
        rules = Rules(profile, partial(self._new, profile, person))
        notes, dataset = self._one_pass(file, header, rules, edits)
        if cleaned := text.cleaned(notes.texts, notes.gone):
            rules = Rules(profile, rules.new, cleaned)
            notes, dataset = self._one_pass(file, header, rules, edits)
        return notes, dataset

    def _one_pass(self, file: part10.File, header: Header, rules: Rules, edits: list[Edit]) -> tuple[Notes, bytes]:
        notes = Notes()
        walk = Walk(file.content, file.encoding, rules, notes, [*edits])
        walk.dataset(file.position, len(file.content))
        for tag, element in markers.elements(file.encoding, rules.profile, header.earlier()):
            place = header.place_of(tag)
            walk.edits.append((place, place, element))
        return notes, edited(file.content, file.position, walk.edits)

    def _person(self, header: Header) -> Person:
        old, accession = header("PatientID"), header("AccessionNumber")
        remarks: tuple[str, ...] = (_ALREADY,) if header("PatientIdentityRemoved").upper() == "YES" else ()
        who = old
        if not who:
            keyword = next(word for word in _STANDS_IN if header(word))
            what = _STANDS_IN[keyword]
            who = f"{what} {header(keyword)}"
            remarks += (f"it has no patient ID: its {what} stands in, and the person's others get another ID and other dates",)
        given = self.mapping.identifiers(old, accession) if self.mapping.identifiers else None
        given = given or Identifiers(self.mapping.patient(who))
        days = self.mapping.shift(who) if given.shift_days is None else given.shift_days
        return Person(old, given.patient, given.accession or "", days, remarks)

    def _patient(self, person: Person, element: Element) -> str:
        """Return the new ID of the person, or that of another person whom a sequence names."""
        named = charsets.decoded(element.value, element.charset)
        is_other = element.tag == PATIENT_ID and named not in ("", person.old)
        return self.mapping.patient(named) if is_other else person.patient

    def _uid(self, old: str) -> str:
        if self.profile.options.uids or old in UID_dictionary or not old:
            return old
        return self.mapping.uid(old)

    def _uids(self, old: str) -> str:
        return "\\".join(map(self._uid, old.split("\\")))

    def _new(self, profile: Profile, person: Person, action: Action, element: Element) -> bytes:
        """Return the new value of an element."""
        value = element.value
        if action is Action.UID:
            return self._uids(uid_text(value)).encode()
        if action is Action.SHIFT:
            return dates.shifted(value, person.days, element.vr)
        if action is Action.PATIENT:
            return charsets.encoded(self._patient(person, element), element.charset)
        if action is Action.ACCESSION:
            return charsets.encoded(person.accession, element.charset)
        if action is Action.CAP:
            return values.capped(value)
        if action is Action.CLEAN:
            return words.words_kept(value, element.charset, profile.options.words)
        return _plain(profile, action, element)


def _plain(profile: Profile, action: Action, element: Element) -> bytes:
    """Return the new value where neither key nor person matters: a recipe's own, a dummy, or none."""
    change = profile.change(element.tag, element.vr)
    if change and change.value is not None and action in (Action.REPLACE, Action.DUMMY):
        return charsets.encoded(change.value, element.charset)
    if action is Action.KEEP:
        return element.value
    if action is Action.MASK:
        return b" " * len(element.value) if element.vr not in ("OB", "OW", "UN") else bytes(len(element.value))
    return values.dummy(element.vr) if action is Action.DUMMY and element.value else b""


def _pixels_alone(file: part10.File, header: Header, options: Options) -> list[Edit]:
    """Return the edits that leave of the pixel data the image alone: nothing behind it, no comments in what is compressed."""
    found = header.pixels()
    promised = pixels.check_whole(header, found)
    if found.undefined:
        frames = int(header("NumberOfFrames")) if header("NumberOfFrames").isdigit() else 1
        plane = int(header("Rows")) * int(header("Columns"))
        return [
            *compressed.edits(file.content, found, file.syntax, frames, plane),
            *_wrong_tables(file, header, found, frames),
        ]
    if file.syntax not in part10.NATIVE:
        raise BadData("its pixel data are not compressed, as its transfer syntax says that they are")
    pixels.check_unused(header, file.content[found.value : found.value + promised], file.encoding.order, options)
    tables = [(table.start, table.stop, b"") for table in header.elements(_EXTENDED_TABLES)]  # none is compressed
    if found.stop - found.value <= promised:
        return tables
    head = file.encoding.header(found.tag, found.vr, promised)
    return [*tables, (found.start, found.value, head), (found.value + promised, found.stop, b"")]


def _wrong_tables(file: part10.File, header: Header, pixels: Found, frames: int) -> Iterator[Edit]:
    """Yield the removal of extended tables of offsets and lengths that are none."""
    for table in header.elements(_EXTENDED_TABLES):
        if not compressed.is_extended_table(file.content[table.value : table.stop], frames, pixels.stop - pixels.value):
            yield table.start, table.stop, b""
