"""Who is planted: a person with everything that names them, and words, dates, numbers and UIDs that occur only once."""

from __future__ import annotations

import datetime
import hashlib
import re
from dataclasses import dataclass, field

FAMILY, GIVEN, MIDDLE = "Quillfeather", "Zebulon", "Oswinka"
NAME = f"{FAMILY}^{GIVEN}^{MIDDLE}^Dr^MBE"
REFERRING = "Brackenthwaite^Ottoline"
OPERATOR = "Vandersnoot^Ignatius"
PATIENT_ID = "HX-7739164-Q"
OTHER_ID = "KV60428815"
BIRTH_DATE = "19540723"
ACCESSION = "ACC90917733"
STUDY_ID = "STD88213475"
INSTITUTION = "Klinikum Ostertal"
ADDRESS = "Birkenweg 17a, 01309 Dresdenau"
STATION = "MRROOM77Q"
SERIAL = "451938827"
PHONE = "+49 351 4587 9931"
MAIL = "z.quillfeather@ostertal-hospital.example"
WEIGHT = "83.417905"
STUDY_DATE = "20171129"

# What each removed value is sought as. A value is repeated elsewhere in the file, in text that is otherwise kept.
PERSON: dict[str, tuple[str, ...]] = {
    "family name": (FAMILY,),
    "given name": (GIVEN,),
    "middle name": (MIDDLE,),
    "referring physician": ("Brackenthwaite", "Ottoline"),
    "operator": ("Vandersnoot", "Ignatius"),
    "patient id": ("7739164",),
    "other id": ("60428815",),
    "birth date": (BIRTH_DATE,),
    "accession number": ("90917733",),
    "study id": ("88213475",),
    "institution": ("Ostertal",),
    "address": ("Birkenweg", "Dresdenau"),
    "station": (STATION,),
    "serial number": (SERIAL,),
    "telephone": ("4587 9931",),
    "mail": ("ostertal-hospital",),
    "weight": ("83.4179",),
    "study date": (STUDY_DATE,),
}

SPELLINGS_OF_THE_NAME = (
    f"{FAMILY}^{GIVEN}",
    f"{GIVEN} {FAMILY}",
    f"{FAMILY}, {GIVEN}",
    f"{FAMILY.upper()}_{GIVEN.upper()}",
    f"{FAMILY.lower()}-{GIVEN.lower()}",
    f"{GIVEN}{FAMILY}",
    f"{GIVEN[0]}.{FAMILY}",
    FAMILY,
    f"fmri_{GIVEN.lower()}_run1",
    f"{FAMILY}2mm",
)


def sought_as(date: str) -> tuple[str, ...]:
    """Return the spellings of a date (YYYYMMDD) that people and devices write, longest first."""
    day = datetime.date.fromisoformat(f"{date[:4]}-{date[4:6]}-{date[6:]}")
    month = day.strftime("%b")
    forms = ["%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%Y", "%m/%d/%Y", "%m-%d-%Y"]
    written = [day.strftime(form) for form in forms]
    written += [f"{day.day}.{day.month}.{day.year}", f"{day.day} {month} {day.year}", f"{month} {day.day}, {day.year}"]
    written += [day.strftime("%d %B %Y"), day.strftime("%B %d, %Y"), day.strftime("%d-%b-%Y"), day.strftime("%d%b%Y")]
    return tuple(dict.fromkeys(written))


DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])")


def forms(needle: str) -> tuple[str, ...]:
    """Return what a needle may look like in clear: a date in all spellings, the rest as it is."""
    return sought_as(needle) if len(needle) == 8 and DATE.fullmatch(needle) else (needle,)


@dataclass
class Ledger:
    """What was planted where: each place with the needles that show that it survived."""

    sought: dict[str, tuple[str | bytes, ...]] = field(default_factory=dict)
    count: int = 0

    def note(self, place: str, *needles: str | bytes) -> None:
        self.sought[place] = self.sought.get(place, ()) + needles

    def next(self) -> int:
        self.count += 1
        return self.count

    def word(self, place: str) -> str:
        """Return a word that stands nowhere else, of ten letters."""
        made = hashlib.sha256(f"planted {self.next()}".encode()).digest()
        word = "Qz" + "".join(chr(ord("a") + byte % 26) for byte in made[:8])
        self.note(place, word)
        return word

    def date(self, place: str) -> str:
        """Return a day between 1950 and 2014 of its own, which no shift of a century makes of another one."""
        day = datetime.date(1950, 1, 1) + datetime.timedelta(days=7919 * self.next() % 23500)
        while f"{day:%Y%m%d}" in self.dates:
            day += datetime.timedelta(days=1)
        self.dates.add(f"{day:%Y%m%d}")
        self.note(place, f"{day:%Y%m%d}")
        return f"{day:%Y%m%d}"

    dates: set[str] = field(default_factory=set)

    def uid(self, place: str) -> str:
        """Return a UID as scanners make them: with a serial number and a date in it."""
        number = self.next()
        uid = f"1.3.12.2.1107.5.2.43.77{number:05d}.2013{number % 12 + 1:02d}17{number:06d}"
        self.note(place, f"77{number:05d}.2013")
        return uid

    def digits(self, place: str) -> str:
        """Return a whole number of nine digits that fits 32 bits."""
        number = str(1_600_000_000 + int(hashlib.sha256(f"digits {self.next()}".encode()).hexdigest(), 16) % 500_000_000)
        self.note(place, number)
        return number

    def decimal(self, place: str) -> str:
        number = str(int(hashlib.sha256(f"decimal {self.next()}".encode()).hexdigest(), 16) % 10**9)
        decimal = f"{number[:2]}.{number[2:]}"
        self.note(place, decimal[:8])
        return decimal

    def repeat(self, kept: int = 0) -> str:
        """Return a spelling of the name that another element gives."""
        return SPELLINGS_OF_THE_NAME[(self.next() + kept) % len(SPELLINGS_OF_THE_NAME)]
