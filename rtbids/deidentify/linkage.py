"""Who became whom, for those who must go back: encrypted with age, so that only a private key kept elsewhere opens it.

It is collected in memory and written once, encrypted: nothing readable is ever on disk. ``age -d -i key.txt FILE`` gives the
table back. Only the public key is needed here, and the machine that de-identifies cannot open what it wrote.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from rtbids.deidentify.destinations import check_place
from rtbids.errors import CannotWrite, UsageFault, cannot_write

_OF_AGE = re.compile("age1[02-9ac-hj-np-z]{58}")  # Bech32, of which the last six characters are a checksum


@dataclass(frozen=True, order=True)
class Link:
    """One series, before and after."""

    patient_id: str
    new_patient_id: str
    accession_number: str
    new_accession_number: str
    study_instance_uid: str
    new_study_instance_uid: str
    series_instance_uid: str
    new_series_instance_uid: str
    shift_days: int | None


class Linkage:
    """The table of a command, to be written to a new file when it is over.

    Raises
    ------
    CannotWrite
        The file is there already, or its folder is not.
    UsageFault
        A recipient is no public key of age (``age1…``) or SSH.
    """

    def __init__(self, path: Path, recipients: Sequence[str]) -> None:
        self._path, self._recipients = path, [_recipient(text) for text in recipients]
        if not recipients:
            raise UsageFault("--linkage-file needs --linkage-recipient", "the public key that age-keygen shows: age1…")
        if os.path.lexists(path):
            raise _taken(path)
        check_place(path)
        self._links: set[Link] = set()

    def add(self, link: Link) -> None:
        self._links.add(link)

    def write(self) -> None:
        """Encrypt the table into its file, whole or not at all; without a link there is no file."""
        if self._links:
            _place(_encrypted(_table(sorted(self._links, key=str)), self._recipients), self._path)


def _table(links: Sequence[Link]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, dialect="excel-tab", lineterminator="\n")
    rows.writerow([field.name for field in fields(Link)])
    rows.writerows(["n/a" if value in ("", None) else value for value in astuple(link)] for link in links)
    return text.getvalue().encode()


def _recipient(text: str) -> Any:
    pyrage = _age()
    if text.upper().startswith("AGE-SECRET-KEY-"):
        hint = "here goes the public key (age1…); whoever has the secret one can undo the de-identification"
        raise UsageFault("--linkage-recipient: that is a secret key", hint)
    kind = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
    try:
        return kind.from_str(text.strip())
    except pyrage.RecipientError:
        if _OF_AGE.fullmatch(text.strip()):
            why = "--linkage-recipient: its checksum is wrong, so that a character is another than in the public key"
            raise UsageFault(why, "copy the key again, whole, from where age-keygen has shown it") from None
        hint = "age-keygen -o key.txt makes a pair of keys and shows the public one"
        raise UsageFault("--linkage-recipient: expected a public key (age1… or ssh-ed25519 …)", hint) from None


def _age() -> Any:
    try:
        import pyrage
    except ImportError:
        raise UsageFault("--linkage-file needs pyrage", "pip install 'rtbids[crypt]'") from None
    return pyrage


def _encrypted(content: bytes, recipients: Sequence[Any]) -> bytes:
    return bytes(_age().encrypt(content, list(recipients)))


def _place(content: bytes, path: Path) -> None:
    """Write `content` beside `path`, then give it that name unless somebody else has taken it meanwhile."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent)
        try:
            with open(number, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _claim(Path(name), path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as error:
        raise cannot_write(path, error) from None


def _claim(written: Path, path: Path) -> None:
    try:
        os.link(written, path)
    except FileExistsError:
        raise _taken(path) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise _taken(path) from None
        os.replace(written, path)


def _taken(path: Path) -> CannotWrite:
    return CannotWrite(f"{path} is there already", "a linkage file is never overwritten: name a new one")
