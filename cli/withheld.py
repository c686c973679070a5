"""What goes into data sets and streams says nothing of who was measured, unless ``--identified`` says to keep it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rtbids import __version__
from rtbids.archive.fields import without_identifiers
from rtbids.bids import sidecar
from rtbids.cli import headers, kept_identifiers
from rtbids.errors import BadData
from rtbids.stream import bidsi, wire
from rtbids.volume import Item, Volume

if TYPE_CHECKING:
    from rtbids.convert.dicom import Instance

logger = logging.getLogger("rtbids")
SIDECARS = "fields of sidecars"
METHOD = f"rtbids {__version__}: identifying elements of the DICOM header were not copied into this sidecar"
_OURS = frozenset(  # texts that conversion makes itself, or that can be one of a few words only
    {"TaskName", "Manufacturer", "PulseSequenceType", "PhaseEncodingDirection", "PhaseEncodingAxis", "ConversionSoftware"}
    | {"ConversionSoftwareVersion", "CoilCombinationMethod", "Units", "Modality", "PatientPosition", "MatrixCoilMode"}
    | {"SliceEncodingDirection", "InPlanePhaseEncodingDirectionDICOM", "PhaseEncodingPolarityGE"}
)
_OF_TEXTS = frozenset({"PulseSequenceDetails", "ReceiveCoilName"})  # from a protocol that is not in the header any more


def withheld(*, identified: bool) -> Withheld:
    """Return what keeps identifiers out; with `identified` it warns that they are kept."""
    if identified:
        logger.warning("%s", kept_identifiers.WARNING)
    return Withheld(identified)


@dataclass
class Withheld:
    """Keeps identifiers out of names and sidecars; with `identified` it adds those that BIDS has fields for.

    Every series is learnt from its first image: its header is de-identified, and a text goes into a sidecar only where it is
    left there. What it says of the person's name, numbers and days is cut out of the names of protocol and series as well,
    with `identified` too: they become names of files.
    """

    identified: bool = False
    words: headers.Words = field(default_factory=headers.Words)
    _known: dict[tuple[str, int], headers.Header] = field(default_factory=dict)
    _added: dict[int, dict[str, Any]] = field(default_factory=dict)
    _left: dict[int, headers.Header] = field(default_factory=dict)
    _made: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None

    def anew(self) -> Withheld:
        """Return one that has learnt nothing yet."""
        return Withheld(self.identified)

    def instances(self, found: Iterable[Instance]) -> Iterator[Instance]:
        """Learn from images on their way; the names of their protocol and series are left without what identifies."""
        headers.prepare()
        for instance in found:
            self._learn(instance)
            yield instance

    def items(self, found: Iterable[Item]) -> Iterator[Item]:
        """Leave identifiers out of the sidecars of volumes on their way, or add them."""
        for item in found:
            yield replace(item, metadata=self._of(item.metadata)) if isinstance(item, Volume) else item

    def members(self, found: Iterable[wire.Member]) -> Iterator[wire.Member]:
        """Leave identifiers out of the sidecars in a stream of BIDS-I; all else but DICOM files passes as it is."""
        for member in found:
            if not self.identified and bytes(member.content[128:132]) == b"DICM":
                raise BadData(
                    f"{member.name}: a DICOM file among BIDS-I would go as it came", "take it out, or add --identified"
                )
            yield self._member(member) if member.name.endswith("_bold.json") else member

    def known_members(self, found: Iterable[wire.Member]) -> Iterator[wire.Member]:
        """Give what may leave of a stream of BIDS-I: what is known, and that without what identifies."""
        from rtbids.cli.leaving import Leaving

        return Leaving(self._fields, self.note).members(found)

    def note(self, what: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Take notice of what was done to a sort of member; for who shows it."""

    def _member(self, member: wire.Member) -> wire.Member:
        """Return a run's sidecar, or a volume's JSON, without what identifies; what is no JSON is for its reader to refuse."""
        try:
            said = sidecar.loads(bytes(member.content))
        except ValueError:
            return member
        of_volume = bidsi.split(member.name.rpartition("/")[2])[1] is not None
        told = said.get("metadata", {}) if of_volume and isinstance(said, dict) else said
        if not isinstance(told, dict) or (left := self.fields(told)) == told:
            return member
        text = sidecar.dumps({**said, "metadata": left} if of_volume else left)
        return replace(member, content=memoryview(text.encode()))

    def fields(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sidecar without what identifies, or with it."""
        left = self._fields(metadata)
        self.note(SIDECARS, metadata, left)
        return left

    def _fields(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        number = metadata.get("SeriesNumber")
        added = self._added.get(number, {}) if isinstance(number, int) else {}
        if self.identified:
            return {**metadata, **added}
        self.words.learn(kept_identifiers.elements(metadata))
        if isinstance(number, int) and number in self._left:
            metadata = self._without_texts(metadata, self._left[number])
            methods = [*added.get("DeidentificationMethod", ()), METHOD]
            added = {**added, "DeidentificationMethod": methods}
        return {**{key: self._cut(value) for key, value in without_identifiers(metadata).items()}, **added}

    def _cut(self, value: Any) -> Any:
        """Return a text without what identifies, as far as that is known."""
        if isinstance(value, list):
            return [self._cut(one) for one in value]
        return self.words.left(value) if isinstance(value, str) else value

    def _of(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what `fields` does; volumes of a run share one mapping before, and after."""
        if self._made is None or self._made[0] is not metadata:
            made = self.fields(metadata)
            same = self._made is not None and self._made[1] == made
            self._made = metadata, self._made[1] if self._made and same else made
        return self._made[1]

    def _learn(self, instance: Instance) -> None:
        from rtbids.convert.one_series import number_of
        from rtbids.convert.stack import MALFORMED

        dataset = instance.dataset
        try:
            key, names = (str(dataset.get("StudyInstanceUID")), number_of(dataset)), headers.names_of(dataset)
        except MALFORMED:
            return  # whoever converts it says so
        if key not in self._known:
            self._begin(key, names, bytes(instance.content))
        self._rename(instance, names, key[1])

    def _begin(self, key: tuple[str, int], names: tuple[str, str], content: bytes) -> None:
        """Learn from the first image of a series."""
        number = key[1]
        self._added[number] = kept_identifiers.markers(content)
        if self.identified:
            self._added[number] |= kept_identifiers.of(content)
        self._known[key] = self._left[number] = headers.read(content, names, self.words)

    def _rename(self, instance: Instance, names: tuple[str, str], number: int) -> None:
        for keyword, name in zip(headers.NAMES, names, strict=True):
            if (left := self.words.left(name)) != name:
                setattr(instance.dataset, keyword, left)
                self._say(keyword, number)

    def _say(self, keyword: str, number: int) -> None:
        if (keyword, number) not in self._said:
            text = "series %d: its %s repeats what identifies the person, which is left out of names and sidecars"
            logger.warning(text, number, "protocol's name" if keyword == "ProtocolName" else "description")
        self._said.add((keyword, number))

    _said: set[tuple[str, int]] = field(default_factory=set)

    def _without_texts(self, metadata: Mapping[str, Any], header: headers.Header) -> dict[str, Any]:
        """Return the fields without texts that are not in what is left of the header."""
        return {key: value for key, value in metadata.items() if self._is_left(key, value, header)}

    def _is_left(self, key: str, value: Any, header: headers.Header) -> bool:
        if isinstance(value, list):
            return all(self._is_left(key, one, header) for one in value)
        if not isinstance(value, str) or key in _OURS:
            return True
        return header.holds(value) or (key in _OF_TEXTS and self.words.left(value) == value)
