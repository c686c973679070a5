"""Oddities of names: how a person's name may be written, and where it is written again."""

from __future__ import annotations

from dataclasses import dataclass

from identity import FAMILY, GIVEN, Ledger
from odd_case import named, odd, with_text
from planted import Planted, element, private, sequence
from raw_files import Element, RawFile, having, made


@odd()
def short_names(file: RawFile, ledger: Ledger) -> RawFile:
    """A name of two letters, as half the world has them, alone between other words."""
    ledger.note("a family name of two letters", b"_NG_", b" Ng ")
    ledger.note("a given name of two letters", b"_WU_", b" Wu ")
    file = having(file, element(0x00100010, "PN", "Ng^Wu"))
    return with_text(file, "ep2d_bold_NG_WU_run1 of Ng by Wu again")


@odd()
def names_of_several_words(file: RawFile, ledger: Ledger) -> RawFile:
    """Names with hyphens, apostrophes, particles: any part of them tells."""
    ledger.note("parts of a name", "Quillfeather", "Montagnard", "Brannaghty", "Zebulon", "Terentius")
    name = "van der Quillfeather-O'Brannaghty Montagnard^Zebulon-Terentius"
    file = having(file, element(0x00100010, "PN", name))
    return with_text(file, "bold Montagnard_1 Brannaghty QUILLFEATHER terentius x-zebulon.")


@odd()
def a_name_without_carets(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger, f"{FAMILY.upper()}, {GIVEN}")
    return with_text(file, f"loc {GIVEN} and {FAMILY}")


@odd()
def names_in_elements_of_technique(file: RawFile, ledger: Ledger) -> RawFile:
    """The name where only technique should be: in what would be kept, did it not repeat a removed value."""
    file = named(file, ledger)
    texts = {0x00080070: "LO", 0x00081090: "LO", 0x00180024: "SH", 0x00181250: "SH", 0x00180015: "CS", 0x00181020: "LO"}
    texts |= {0x00189005: "SH", 0x00180021: "CS", 0x00180022: "CS", 0x00280A02: "CS", 0x00200060: "CS", 0x00080005: "CS"}
    file = having(file, *(element(tag, vr, FAMILY.upper()[:16]) for tag, vr in texts.items()))
    return having(file, element(0x00080008, "CS", f"ORIGINAL\\PRIMARY\\M\\{FAMILY.upper()}"))


@odd()
def names_in_codes(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    code = (
        element(0x00080100, "SH", FAMILY),
        element(0x00080102, "SH", "99X"),
        element(0x00080104, "LO", f"Brain of {GIVEN} {FAMILY}"),
    )
    return having(
        file, sequence(0x00082218, code), sequence(0x00540220, code), sequence(0x00089215, code), sequence(0x0040A170, code)
    )


@odd()
def text_of_two_bytes_a_character(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    wide = "\ufeff" + f"{GIVEN} {FAMILY}"
    return having(
        file, Element(0x00204000, "LT", wide.encode("utf-16-le")), Element(0x00181030, "LO", wide.encode("utf-16-be"))
    )


@odd()
def names_broken_by_controls(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    value = f"{FAMILY}\r\n\f{GIVEN}\t{FAMILY}\0{GIVEN}\x1b".encode()
    return having(file, Element(0x00204000, "LT", value + bytes(len(value) % 2)), Element(0x0008103E, "LO", value))


@odd()
def long_text(file: RawFile, ledger: Ledger) -> RawFile:
    file = named(file, ledger)
    text = f"{'x ' * 50_000}{FAMILY}{' y' * 50_000}"
    return having(file, Element(0x0040A160, "UT", text.encode()), Element(0x00181405 + 0x50, "UT", text.encode()))


@odd()
def a_name_decomposed_and_without_its_accents(file: RawFile, ledger: Ledger) -> RawFile:
    """A name with its accents as characters of their own, as some computers write it, and without them, as consoles do."""
    ledger.note("decomposed", "Gru\u0308nfeldsa\u030a")
    ledger.note("without accents", "Grunfeldsa")
    ledger.note("written out", "Gruenfeldsaa")
    text = "ep2d Gru\u0308nfeldsa\u030a bold Grunfeldsa GRUENFELDSAA"
    name = Element(0x00100010, "PN", padded_utf8("Grünfeldså^Zoë"))
    texts = [Element(tag, vr, padded_utf8(text)) for tag, vr in ((0x0008103E, "LO"), (0x00204000, "LT"), (0x0040A160, "UT"))]
    return having(file, element(0x00080005, "CS", "ISO_IR 192"), name, *texts)


@odd()
def a_name_of_the_web(file: RawFile, ledger: Ledger) -> RawFile:
    """The name as addresses, pages and tables write it."""
    file = named(file, ledger)
    text = f"file:///data/{FAMILY}%5E{GIVEN}/x &lt;{GIVEN}&gt; {GIVEN}+{FAMILY} {{'name': '{FAMILY}'}} C:\\{FAMILY}\\{GIVEN}"
    return having(file, element(0x0040A160, "UT", text), element(0x00204000, "LT", text))


@dataclass(frozen=True)
class Script:
    """A name in a character set: how it is declared, how it is written, and the parts of it that tell."""

    label: str
    declared: str
    codec: str
    name: str
    parts: tuple[str, ...]


SCRIPTS = (
    Script("Latin 1", "ISO_IR 100", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("UTF-8", "ISO_IR 192", "utf-8", "Grünfeldsø^Zoëlina=青葉薫^小夜子", ("Grünfeldsø", "Zoëlina", "青葉薫", "小夜子")),
    Script("Cyrillic", "ISO_IR 144", "iso8859_5", "Куропаткин^Зебулон", ("Куропаткин", "Зебулон")),
    Script("Greek", "ISO_IR 126", "iso8859_7", "Διονυσόπουλος^Ζήνων", ("Διονυσόπουλος", "Ζήνων")),
    Script("GB18030", "GB18030", "gb18030", "Wangouyang^Xiaodong=王欧阳^小东", ("Wangouyang", "Xiaodong", "王欧阳", "小东")),
    Script(
        "Japanese",
        "\\ISO 2022 IR 87",
        "iso2022_jp",
        "Yamashirota^Tarouemon=山城田^太郎右",
        ("Yamashirota", "Tarouemon", "山城田", "太郎右"),
    ),
    Script("Shift JIS", "ISO_IR 13", "shift_jis", "ﾔﾏｼﾛﾀ^ﾀﾛｳｴﾓﾝ", ("ﾔﾏｼﾛﾀ", "ﾀﾛｳｴﾓﾝ")),
    Script("Korean", "\\ISO 2022 IR 149", "euc_kr", "Hongsang^Gildongi=홍상^길동이", ("Hongsang", "Gildongi", "길동이")),
    Script("undeclared Latin 1", "", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("undeclared UTF-8", "", "utf-8", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
    Script("Latin 1 declared as UTF-8", "ISO_IR 192", "latin-1", "Grünfeldsø^Zoëlina", ("Grünfeldsø", "Zoëlina")),
)


def written_in(script: Script) -> Planted:
    """Return a file whose name and texts are of a character set, in the data set and in an item with a set of its own."""

    def coded(text: str) -> bytes:
        value = b"\x1b$)C".join([b"", text.encode("euc_kr")]) if script.codec == "euc_kr" else text.encode(script.codec)
        return value + b" " * (len(value) % 2)

    ledger = Ledger()
    ledger.note(script.label, *script.parts)
    text = " ".join(["ep2d", *script.parts, "bold"])
    charset = [element(0x00080005, "CS", script.declared)] if script.declared else []
    item = (
        element(0x00080005, "CS", "ISO_IR 192"),
        Element(0x00100010, "PN", padded_utf8(script.name)),
        Element(0x0008103E, "LO", padded_utf8(text)),
    )
    texts = [Element(tag, "LT", coded(text)) for tag in (0x00204000, 0x00104000)]
    file = having(
        made(),
        *charset,
        *texts,
        Element(0x00100010, "PN", coded(script.name)),
        Element(0x0008103E, "LO", coded(text)),
        sequence(0x00189042, item),
        *private("SIEMENS MR HEADER", 0x0051, (0x0F, "LO", coded(script.parts[-1]))),
    )
    return Planted(file.content(), ledger)


def padded_utf8(text: str) -> bytes:
    value = text.encode("utf-8")
    return value + b" " * (len(value) % 2)
