"""The lists that come with the package, as they are written: which private elements stay, and which public texts."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

# libyaml reads them some eight times faster, where PyYAML has it. Keys that come twice are found by the tests.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(name: str) -> dict[str, Any]:
    """Return what the list of that file name says."""
    text = (resources.files("rtbids.deidentify") / name).read_text(encoding="utf-8")
    listed: dict[str, Any] = yaml.load(text, _Loader)
    return listed
