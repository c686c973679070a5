"""Identifiers in Siemens' CSA headers and protocols, planted by their structure: fields, unused memory, protocol keys."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import identity
from identity import Ledger

NAME, END = 64, 4


@dataclass(frozen=True)
class Tag:
    """One field: the 64 bytes of its name with whatever memory follows the NUL, its header and its items."""

    name: bytes
    head: bytes
    items: tuple[tuple[bytes, bytes], ...]  # the header of 16 bytes, and the value

    @property
    def word(self) -> str:
        return self.name.split(b"\0")[0].decode("latin-1")

    @property
    def vr(self) -> str:
        return self.head[4:8].split(b"\0")[0].decode("latin-1")

    def content(self) -> bytes:
        items = b"".join(head + value + bytes(-len(value) % 4) for head, value in self.items)
        return self.name + self.head + items


def tags(content: bytes) -> Iterator[Tag]:
    """Yield the fields of a header of the second kind (SV10)."""
    place = 16
    for _ in range(struct.unpack_from("<I", content, 8)[0]):
        name, head = content[place : place + NAME], content[place + NAME : place + 84]
        place += 84
        items = []
        for _ in range(struct.unpack_from("<i", head, 12)[0]):
            length = struct.unpack_from("<4i", content, place)[1]
            items.append((content[place : place + 16], content[place + 16 : place + 16 + length]))
            place += 16 + (length + 3) // 4 * 4
        yield Tag(name, head, tuple(items))


def item(value: bytes) -> tuple[bytes, bytes]:
    return struct.pack("<4i", len(value), len(value), 77, len(value)), value


def filled(tag: Tag, *values: bytes) -> Tag:
    """Return a field with values in its first items, and as many items as it had, or six."""
    items = tag.items or ((struct.pack("<4i", 0, 0, 205, 0), b""),) * 6
    head = tag.head[:12] + struct.pack("<i", len(items)) + tag.head[16:]
    return Tag(tag.name, head, (*(item(value) for value in values), *items[len(values) :]))


# Fields that take text of their own: what is written there occurs once.
FREE = {"PixelFileName", "PixelFile", "Comp_JobID", "SequenceFileOwner", "SpectrumTextRegionLabel"}
TEXTS = {"SH", "LO", "ST", "LT", "UT", "CS"}
PROTOCOLS = {"MrPhoenixProtocol", "MrProtocol", "MrEvaProtocol"}
GEOMETRY = {"PhaseEncodingDirectionPositive", "NumberOfImagesInMosaic", "SliceNormalVector", "MosaicRefAcqTimes"}


def planted(content: bytes, ledger: Ledger, place: str) -> bytes:
    """Return a CSA header with identifiers in its fields, in its protocol, in unused memory, and after its end."""
    body = b"".join(changed(tag, ledger, f"{place} {tag.word}").content() for tag in tags(content))
    tail = ledger.word(f"{place}: after the last field").encode("ascii")
    whole = content[:16] + body + bytes(12) + tail
    return whole + bytes(-len(whole) % 4)


def changed(tag: Tag, ledger: Ledger, place: str) -> Tag:
    if tag.word in GEOMETRY:
        return in_memory(tag, ledger, place)
    if tag.word in PROTOCOLS and any(value for _, value in tag.items):
        return filled(tag, protocol(tag.items[0][1], ledger, place))
    if tag.word == "UsedPatientWeight":
        return filled(tag, ledger.decimal(place).encode("ascii") + b"\0")
    if tag.word == "PatReinPattern":
        pattern = f"1;HFS;{ledger.decimal(place)};30.00;2;0;2;{ledger.digits(place)}"
        return filled(tag, pattern.encode("ascii") + b"\0")
    if tag.word in FREE or tag.vr in TEXTS:
        return filled(tag, f"{identity.GIVEN} {ledger.word(place)}".encode("ascii") + b"\0")
    return in_memory(tag, ledger, place)


def in_memory(tag: Tag, ledger: Ledger, place: str) -> Tag:
    """Return a field with text in the memory behind its name and behind its value, which scanners do not clear."""
    word = tag.word.encode("latin-1")
    behind = ledger.word(f"{place}: behind the name").encode("ascii")
    name = (word + b"\0" + behind).ljust(NAME, b"\0") if len(word) + 1 + len(behind) <= NAME else tag.name
    if len(name) != NAME or name == tag.name:
        del ledger.sought[f"{place}: behind the name"]
    if not tag.items or b"\0" not in tag.items[0][1]:
        return Tag(name, tag.head, tag.items)
    value = tag.items[0][1].split(b"\0")[0] + b"\0" + ledger.word(f"{place}: behind the value").encode("ascii")
    return Tag(name, tag.head, (item(value), *tag.items[1:]))


def protocol(content: bytes, ledger: Ledger, place: str) -> bytes:
    """Return a protocol with a person in its parameter maps and in its ASCCONV keys."""
    text = content.decode("latin-1")
    maps = "".join(
        f'\n  <ParamString."{key}"> {{ "{value}" }}'
        for key, value in (
            ("tPatientName", identity.NAME),
            ("PatientsName", ledger.word(f"{place} PatientsName")),
            ("PatientID", identity.PATIENT_ID),
            ("PatientBirthDay", ledger.date(f"{place} PatientBirthDay")),
            ("tComment", ledger.word(f"{place} tComment")),
            ("InstitutionAddress", identity.ADDRESS),
            ("DeviceSerialNumber", ledger.digits(f"{place} DeviceSerialNumber")),
            ("FrameOfReference", ledger.uid(f"{place} FrameOfReference")),
        )
    )
    maps += f'\n  <ParamDouble."flUsedPatientWeight"> {{ {ledger.decimal(f"{place} weight in a map")} }}'
    text = re.sub(r"<XProtocol>\s*\{", lambda found: found.group(0) + maps, text, count=1)
    return re.sub(r"(### ASCCONV BEGIN[^\n]*\n)", lambda found: found.group(1) + keys(ledger, place), text, count=1).encode(
        "latin-1"
    )


def keys(ledger: Ledger, place: str) -> str:
    quote = '""'
    texts = {
        "tProtocolName": f"fmri_{identity.FAMILY}_{identity.GIVEN}",
        "tReferenceImage0": ledger.uid(f"{place} tReferenceImage0"),
        "tPatientName": ledger.word(f"{place} tPatientName"),
        "tFree": ledger.word(f"{place} tFree"),
        "sWipMemBlock.tFree": ledger.word(f"{place} sWipMemBlock.tFree"),
        "tMeasuredBy": identity.OPERATOR,
        "sPat.tSerialNumber": ledger.digits(f"{place} serial"),
    }
    lines = [f"{key}\t = \t{quote}{value}{quote}" for key, value in texts.items()]
    lines.append(f"flUsedPatientWeight\t = \t{ledger.decimal(f'{place} flUsedPatientWeight')}")
    lines.append(f"# {ledger.word(f'{place} a comment')} {ledger.date(f'{place} a comment')}")
    return "".join(line + "\n" for line in lines)
