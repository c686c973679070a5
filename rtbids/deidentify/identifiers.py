"""What a service of a patient's replacement identifiers is asked, and what it may answer.

Both are JSON, described in the reference ("The identifiers service"). An image whose identifiers are not known is never handed
on: where the service cannot be reached that is `ServiceDown`, after which trying again may help, and where it refuses
`ServiceRefuses`, which needs a person. No message names an identifier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rtbids.deidentify.mapping import Identifiers
from rtbids.errors import ConnectionLost, NeedsPerson

LONGEST = {"patient_id": 64, "accession_number": 16}  # characters of the VRs LO and SH
_FURTHEST = 366 * 200  # days
_TELLING = 5  # an original of fewer characters may be part of a replacement by chance
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")  # it becomes part of names of files and folders
_LIKE_OURS = re.compile(r"shift|days|date|patient|accession", re.IGNORECASE)


class ServiceDown(ConnectionLost):
    """No usable answer; images wait, and trying again may help."""


class ServiceRefuses(NeedsPerson):
    """The service answered, and its answer will stay the same until a person sees to it."""


@dataclass(frozen=True)
class Question:
    """Who is meant: as the image itself says it, and therefore never to be logged."""

    patient: str
    accession: str = ""
    study: str = ""


def asked(question: Question) -> bytes:
    """Return the question as it goes over the wire."""
    named = {"patient_id": question.patient, "accession_number": question.accession or None, "study": question.study or None}
    return json.dumps({key: value for key, value in named.items() if value}).encode()


def read_answer(content: bytes, question: Question) -> Identifiers:
    """Read and check what the service said.

    Raises
    ------
    ServiceDown
        It is not the JSON object expected; a proxy's page in the service's place is the likeliest cause.
    ServiceRefuses
        It gives the original back, or a shift of no days.
    """
    answer = _object(content)
    _check_keys(answer)
    patient = _identifier(answer, "patient_id")
    accession = _identifier(answer, "accession_number") if answer.get("accession_number") is not None else None
    shift = _shift(answer.get("date_shift_days"))
    if _echoes(patient, question.patient) or _echoes(accession or "", question.accession):
        raise ServiceRefuses(
            "the identifiers service gave an original identifier back", "nothing was written; see to the service"
        )
    return Identifiers(patient, accession, shift)


def _check_keys(answer: Mapping[str, object]) -> None:
    """Refuse what is likely meant for us and misspelt: a shift that is not taken would go unnoticed."""
    for key in set(answer) - {*LONGEST, "date_shift_days"}:
        if _LIKE_OURS.search(key):
            raise ServiceRefuses(
                "the identifiers service's answer has a key like ours that is none of ours",
                "ours are patient_id, accession_number and date_shift_days",
            )


def _object(content: bytes) -> dict[str, object]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        raise ServiceDown("the identifiers service did not answer in JSON") from None
    if not isinstance(answer, dict):
        raise ServiceDown("the identifiers service did not answer with a JSON object")
    return answer


def _identifier(answer: Mapping[str, object], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ServiceDown(f"the identifiers service's answer has no text as {key}")
    value = value.strip()
    if len(value) > LONGEST[key] or not _PLAIN.fullmatch(value):
        raise ServiceDown(f"the identifiers service's {key} is not up to {LONGEST[key]} letters, digits and any of . _ -")
    return value


def _shift(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or abs(value) > _FURTHEST:
        raise ServiceDown("the identifiers service's date_shift_days is not a whole number of days")
    if value == 0:
        raise ServiceRefuses("the identifiers service shifts dates by no days", "leave date_shift_days out for a shift of ours")
    return value


def _echoes(replacement: str, original: str) -> bool:
    """Tell whether `original` is still to be read in `replacement`."""
    new, old = replacement.strip().casefold(), original.strip().casefold()
    return bool(old) and (new == old or (len(old) >= _TELLING and old in new))
