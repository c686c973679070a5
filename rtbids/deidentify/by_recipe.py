"""One file in, one out, by a site's recipe: what it leaves out is left out, and what is asked for is verified."""

from __future__ import annotations

from dataclasses import dataclass, field

from rtbids.deidentify import names, part10, verify
from rtbids.deidentify.engine import Clean, Deidentifier
from rtbids.deidentify.header import Header
from rtbids.deidentify.pixels import Refused
from rtbids.deidentify.recipe import Recipe
from rtbids.errors import BadData


class Skipped(Refused):
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
        if self.verified:
            verify.check(clean, self.engine.profile)
        return clean

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
