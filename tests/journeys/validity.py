"""What the official BIDS validator says of a study."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def errors(root: Path) -> list[str]:
    """Return what the validator calls an error in the data set at `root` and its derivative; skip where it is not there."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")
    found = []
    for place in (root, root / "derivatives" / "rtbids"):
        if (place / "dataset_description.json").exists():
            out = subprocess.run([validator, place, "--format", "json"], capture_output=True, check=False).stdout
            issues = json.loads(out)["issues"]["issues"]
            found += [f"{issue['code']} {issue.get('location')}" for issue in issues if issue["severity"] == "error"]
    return found
