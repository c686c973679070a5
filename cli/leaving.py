"""What of a stream of BIDS-I may leave: members that BIDS-I knows, without what identifies; all else is left out and said."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtbids import nifti
from rtbids.bids import dataset, rows, sidecar
from rtbids.cli.withheld import SIDECARS
from rtbids.convert.dicom import shown
from rtbids.errors import BadData
from rtbids.plural import counted
from rtbids.receipt import settle
from rtbids.stream import bidsi, wire
from rtbids.stream.wire import Buffer

Fields = Mapping[str, Any]
Noted = Callable[[str, Fields, Fields], None]  # what sort of member it was, what it said before, and what it says now
_SUBJECT = r"sub-[A-Za-z0-9]+/"
_IN_A_RUN = rf"(?:{_SUBJECT})?(?:ses-[A-Za-z0-9]+/)?func/(?:[a-z]+-[A-Za-z0-9+]+_)*"
_HARMLESS = {  # columns that say nothing of who it is, nor where or when
    "participants": {"participant_id", "species", "strain", "strain_rrid", "handedness", "group"},
    "sessions": {"session_id"},
}
_OF_DATA_SETS = (
    {"Name", "BIDSVersion", "HEDVersion", "DatasetType", "License", "Authors", "Acknowledgements", "HowToAcknowledge"}
    | {"Keywords", "Funding", "EthicsApprovals", "ReferencesAndLinks", "DatasetDOI", "GeneratedBy"}
)  # fmt: skip
_TEXTS = (  # fields of a run whose text is of the scanner and the task; a text in any other may be about the person
    {"TaskName", "TaskDescription", "Instructions", "CogAtlasID", "CogPOID", "Units", "Modality", "BodyPart"}
    | {"Manufacturer", "ManufacturersModelName", "SoftwareVersions", "ImageType", "ProtocolName", "BodyPartExamined"}
    | {"SeriesDescription", "PulseSequenceType", "PulseSequenceName", "PulseSequenceDetails", "ScanningSequence"}
    | {"SequenceName", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SpoilingType", "ParallelAcquisitionTechnique"}
    | {"PhaseEncodingDirection", "PhaseEncodingAxis", "InPlanePhaseEncodingDirectionDICOM", "PhaseEncodingPolarityGE"}
    | {"SliceEncodingDirection", "PartialFourierDirection", "PatientPosition", "CoilString", "CoilCombinationMethod"}
    | {"BidsGuess", "MatrixCoilMode", "ConversionSoftware", "ConversionSoftwareVersion", "DeidentificationMethod"}
    | {"DeidentificationMethodCodeSequence", "ReceiveCoilName", "ReceiveCoilActiveElements"}
)  # fmt: skip
logger = logging.getLogger("rtbids")


@dataclass
class Leaving:
    """Lets known members pass.

    Attributes
    ----------
    fields
        Leaves identifiers out of a sidecar; see `rtbids.cli.withheld.Withheld.fields`.
    noted
        Is told what was in a member, and what is in it now.
    left_out
        How many files did not pass.
    """

    fields: Callable[[Fields], dict[str, Any]]
    noted: Noted = lambda what, before, after: None
    left_out: int = 0

    def members(self, found: Iterable[wire.Member]) -> Iterator[wire.Member]:
        """Give what may leave; raise BadData where a volume is none, and where nothing at all is known."""
        is_first = True
        for member in found:
            content = self._content(member)
            if content is None:
                self._leave_out(member)
                continue
            if is_first and not member.name.endswith(".json"):  # by which a reader tells BIDS-I from files of DICOM
                yield from (wire.Member(piece.name, piece.content(), 0.0) for piece in bidsi.Encoder().head())
            is_first = False
            yield replace(member, content=memoryview(content))
        if self.left_out and is_first:
            raise BadData(f"nothing leaves: expected BIDS-I, found none among {counted(self.left_out, 'file')}")
        if self.left_out:
            logger.warning("%s did not leave", counted(self.left_out, "file"))

    def _leave_out(self, member: wire.Member) -> None:
        if not self.left_out:
            logger.warning("%s does not leave: it is no part of BIDS-I (--no-deidentify lets it)", shown(member.name))
        self.left_out += 1
        settle(member.receipts)

    def _content(self, member: wire.Member) -> Buffer | None:
        """Return what is left of a member; None where it may not leave."""
        for pattern, left in _KNOWN:
            if re.fullmatch(pattern, member.name):
                if bytes(member.content[128:132]) == b"DICM":
                    raise BadData(f"{shown(member.name)}: a DICOM file by another name does not leave")
                return left(self, member)
        return None

    def _document(self, member: wire.Member) -> Buffer | None:
        """Return a text as it is; what is no text may be anything."""
        try:
            text = str(member.content, "utf-8")
        except UnicodeDecodeError:
            return None
        return None if "\0" in text else member.content

    def _description(self, member: wire.Member) -> Buffer:
        return self._said(member, "fields of the description", lambda said: _only(said, _OF_DATA_SETS))

    def _columns(self, member: wire.Member) -> Buffer:
        table = _table(member)
        return self._said(member, f"columns said of in {table}.json", lambda said: _only(said, _HARMLESS[table]))

    def _table(self, member: wire.Member) -> Buffer | None:
        table = _table(member)
        try:
            known = rows.read(str(member.content, "utf-8", "surrogateescape"), rows.COLUMN[table], member.name)
        except BadData:
            return None
        kept = {key: _only(row, _HARMLESS[table]) for key, row in known.items()}
        for key, row in known.items():
            self.noted(f"columns of {table}.tsv", row, kept[key])
        return rows.write(kept, rows.COLUMN[table]).encode("utf-8", "surrogateescape")

    def _of_events(self, member: wire.Member) -> Buffer:
        return self._said(member, "columns said of in events.json", self.fields)

    def _of_run(self, member: wire.Member) -> Buffer:
        return self._said(member, SIDECARS, self._run)

    def _run(self, said: Fields) -> dict[str, Any]:
        return {key: value for key, value in self.fields(said).items() if _is_harmless(key, value)}

    def _said(self, member: wire.Member, what: str, left: Callable[[Fields], dict[str, Any]]) -> Buffer:
        """Return a JSON object as far as it may leave, written anew: what is parsed is not all that can be in a text."""
        said = _object(member)
        kept = left(said)
        self.noted(what, said, kept)
        return sidecar.dumps(kept).encode()

    def _of_volume(self, member: wire.Member) -> Buffer:
        left = _only(_object(member), {"index", "times", "metadata", "gone", "events"})
        if isinstance(times := left.get("times"), Mapping):
            left["times"] = _numbers(times)
        if isinstance(changed := left.get("metadata"), Mapping):
            left["metadata"] = self._run(changed)
            self.noted(SIDECARS, changed, left["metadata"])
        return json.dumps(left).encode()

    def _of_end(self, member: wire.Member) -> Buffer:
        return json.dumps(_numbers(_only(_object(member), {"count", "missing"}))).encode()

    def _image(self, member: wire.Member) -> Buffer:
        """Return a volume without the texts of its header, and without what stands before and behind its voxels."""
        left = nifti.without_texts(member.content, shown(member.name))
        self.noted("texts of NIfTI headers", nifti.texts(member.content), {})
        return left


_KNOWN: tuple[tuple[str, Callable[[Leaving, wire.Member], Buffer | None]], ...] = (
    (rf"{_IN_A_RUN}vol-\d+_bold\.nii", Leaving._image),
    (rf"{_IN_A_RUN}vol-\d+_bold\.json", Leaving._of_volume),
    (rf"{_IN_A_RUN}bold\.json", Leaving._of_run),
    (rf"{_IN_A_RUN}events\.json", Leaving._of_events),
    (rf"{_IN_A_RUN}events\.tsv", Leaving._document),
    (rf"{_IN_A_RUN}end\.json", Leaving._of_end),
    (re.escape(dataset.DESCRIPTION), Leaving._description),
    ("|".join(map(re.escape, dataset.DOCUMENTS)), Leaving._document),
    (rf"participants\.json|sessions\.json|{_SUBJECT}sub-[A-Za-z0-9]+_sessions\.json", Leaving._columns),
    (rf"participants\.tsv|{_SUBJECT}sub-[A-Za-z0-9]+_sessions\.tsv", Leaving._table),
)


def _table(member: wire.Member) -> str:
    return "participants" if member.name.startswith("participants") else "sessions"


def _object(member: wire.Member) -> dict[str, Any]:
    try:
        said = sidecar.loads(bytes(member.content))
    except (ValueError, RecursionError) as error:
        raise BadData(f"{shown(member.name)} does not leave: it is not JSON ({error})") from None
    if not isinstance(said, dict):
        raise BadData(f"{shown(member.name)} does not leave: it is not a JSON object")
    return said


def _only(said: Fields, names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key in names}


def _numbers(said: Fields) -> dict[str, Any]:
    return {key: value for key, value in said.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return all(map(_is_number, value)) if isinstance(value, list) else isinstance(value, int | float)


def _is_harmless(key: str, value: Any) -> bool:
    """Say whether a field of a run may leave: a number is of the scanner, a text only where it is known to be."""
    return key in _TEXTS or (not key.startswith("Patient") and (value is None or _is_number(value)))
