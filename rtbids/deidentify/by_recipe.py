"""One file in, one out, by a site's recipe: what it leaves out is left out, and what is asked for is verified."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rtbids.deidentify import names, part10, verify
from rtbids.deidentify.clean import Clean
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.header import Header
from rtbids.deidentify.identifiers import ServiceRefuses
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.profile import PATIENT_ID, Action
from rtbids.deidentify.recipe import Recipe
from rtbids.errors import BadData, LeftOut

_MANY = 100  # words of names in one file


class Skipped(Refused, LeftOut):
    """The recipe leaves series like this one out, without a word for each file."""


@dataclass(frozen=True)
class Cleaner:
    """The engine with what stands around it."""

    engine: Deidentifier
    recipe: Recipe = field(default_factory=Recipe)
    verified: bool = False

    def clean(self, content: bytes) -> Clean:
        """Return the file de-identified.

        Raises
        ------
        Skipped, Refused
            The recipe says so of its series, or its pixels may show who it is.
        Survived
            It was to be verified, and a removed value is still in it.
        BadData
            It is no DICOM image, or damaged.
        ConnectionLost
            The service of identifiers gives none at the moment.
        """
        if self.recipe.turned:
            self._turn_away(content)
        clean = self.engine.clean(content)
        names.check(clean.name)
        if self.engine.mapping.identifiers:
            _check_service(clean)
        if self.verified:
            verify.check(clean, self.engine.profile)
        return clean

    @property
    def gives_one_patient_id(self) -> bool:
        """Tell whether the recipe gives every patient the same ID."""
        change = self.engine.profile.change(PATIENT_ID, "LO")
        return change is not None and change.action is Action.REPLACE and not change.series

    def _turn_away(self, content: bytes) -> None:
        try:
            verdict = self.recipe.verdict(Header(part10.read(content)))
        except BadData:
            return  # the engine says what is wrong with it
        except Exception as error:  # foreign bytes; what a rule cannot look at it cannot let pass
            raise BadData(f"its header cannot be read to apply the recipe ({type(error).__name__})") from None
        if verdict == "skip":
            raise Skipped("the recipe leaves out series like this one")
        if verdict == "refuse":
            raise Refused("the recipe refuses series like this one")


def _check_service(clean: Clean) -> None:
    """Refuse new identifiers in which the person's name is to be read."""
    parts = {part.casefold() for name in verify.names(clean) for part in re.findall(r"[^\W\d_]{3,}", name)}
    for given in (clean.patient, clean.accession):
        words = {word.casefold() for word in re.findall(r"[^\W\d_]+", given)}
        if words & parts or any(one + other in words for one in parts for other in parts if len(parts) < _MANY):
            hint = "nothing was written; see to the service"
            raise ServiceRefuses("the identifiers service gave a part of the patient's name as a new identifier", hint)
