"""Single oddities, one a file: what a parser may refuse as broken, and must neither pass on nor trip over.

Each case is a file made from nothing with one thing wrong or unusual in it. Where a file may be refused as damaged the case
says so; elsewhere what comes out has to be a file.
"""

from __future__ import annotations

from collections.abc import Iterator

import odd_names
import odd_pixels
import odd_private
import odd_representations
import odd_structures
import odd_texts
from odd_case import Odd
from planted import Planted

WHERE = (odd_representations, odd_private, odd_structures, odd_pixels, odd_names, odd_texts)
CASES = [case for module in WHERE for case in vars(module).values() if isinstance(case, Odd)]


def every_case() -> Iterator[tuple[str, Planted, bool]]:
    """Yield every oddity: its name, the file, and whether refusing it is right."""
    for case in CASES:
        yield case.name, case.planted(), case.refusable
    for script in odd_names.SCRIPTS:
        yield f"a name in {script.label}", odd_names.written_in(script), False
