"""The official validator, for what the archive writes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def errors_of():
    """Return a function that gives the errors the official validator finds in a data set."""
    beside = Path(sys.executable).parent
    validator = shutil.which("bids-validator-deno", path=str(beside)) or shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("the BIDS validator is not installed: pip install bids-validator-deno")

    def errors(root: Path) -> list[tuple[str, str | None]]:
        said = subprocess.run([validator, "--format", "json", str(root)], capture_output=True, text=True, check=False)
        issues = json.loads(said.stdout)["issues"]["issues"]
        return [(issue["code"], issue.get("location")) for issue in issues if issue["severity"] == "error"]

    return errors
