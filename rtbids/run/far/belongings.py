"""Which files beside a script go with it to another machine, and which never do.

Of ``experiment.py`` it is the folder that it lies in. A script of another name may lie anywhere, as in a home folder: with it
go its config and the modules beside it that it imports.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from rtbids.bids.dataset import DESCRIPTION
from rtbids.errors import InputMissing
from rtbids.run.recipe.recipe import CONFIGS, SCRIPT

_PASSED_OVER = ("__pycache__",)
_OF_KEYS = ("*.pem", "*.key", "*.ppk", "*.p12", "*.pfx")
_HEAD = 132  # bytes up to the end of the mark DICM
_SITE_KEY = b"rtbids site key"


@dataclass
class Belongings:
    """What belongs to `script`; `left_out` says of what does not why.

    Parameters
    ----------
    stays
        Files and folders, resolved, that stay where they are.
    """

    script: Path
    stays: Collection[Path] = ()
    left_out: list[str] = field(default_factory=list)

    def files(self) -> Iterator[Path]:
        """Yield them; raise InputMissing where a folder cannot be looked into."""
        if self.script.name == SCRIPT:
            yield from self._within(self.script.parent)
            return
        yield from self._modules()
        configs = (self.script.parent / name for name in CONFIGS)
        yield from (path for path in configs if path.is_file() and self._may_leave(path))

    def _modules(self) -> Iterator[Path]:
        """Yield the script, and what of the modules beside it that imports, or one of those."""
        found = {self.script: None}
        for path in (waiting := [self.script]):
            yield path
            for beside in self._beside(imported(path)):
                if beside not in found:
                    found[beside] = None
                    waiting.append(beside)

    def _beside(self, names: Iterable[str]) -> Iterator[Path]:
        for name in names:
            module, package = self.script.parent / f"{name}.py", self.script.parent / name
            if module.is_file() and self._may_leave(module):
                yield module
            if (package / "__init__.py").is_file() and self._may_leave(package):
                yield from self._within(package)

    def _within(self, folder: Path) -> Iterator[Path]:
        for entry in _listed(folder):
            if entry.name.startswith(".") or entry.name in _PASSED_OVER or not self._may_leave(entry):
                continue
            if entry.is_file():
                yield entry
            elif (
                entry.is_dir() and not entry.is_symlink() and not (entry / DESCRIPTION).exists()
            ):  # a data set is no part of it
                yield from self._within(entry)

    def _may_leave(self, path: Path) -> bool:
        try:
            resolved = path.resolve()
            is_inside = resolved.is_relative_to(self.script.parent.resolve())
        except (OSError, RuntimeError):  # a link to itself
            is_inside = False
        if not is_inside:
            self.left_out.append(f"{path} leads out of the experiment's folder: it is not copied")
            return False
        if resolved in self.stays:
            return False
        if path.is_file() and (kind := kept_back(path)):
            self.left_out.append(f"{path} is {kind}: it is not copied")
            return False
        return True


def kept_back(path: Path) -> str | None:
    """Say what a file is that does not leave this machine: a key, or an image that nobody has de-identified."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from None
    if _is_key(path.name, head):
        return "a private key"
    return "a DICOM file" if head[128:] == b"DICM" or _begins_with_element(head) else None


def _begins_with_element(head: bytes) -> bool:
    """Say whether it is DICOM without a preamble: an element of group 0002 or 0008, of explicit or implicit VR."""
    is_explicit = head[4:6].isalpha() and head[4:6].isupper()
    return head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\x00" and (is_explicit or head[6:8] == b"\x00\x00")


def _is_key(name: str, head: bytes) -> bool:
    is_so_named = any(fnmatch(name.lower(), pattern) for pattern in _OF_KEYS) or (name.startswith("id_") and "." not in name)
    return is_so_named or head.startswith(_SITE_KEY) or (head.startswith(b"-----BEGIN") and b"PRIVATE KEY" in head)


def imported(path: Path) -> list[str]:
    """Return the first names of what a Python file imports; nothing of one that is none."""
    if path.suffix != ".py":
        return []
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):  # its import says so
        return []
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
    return sorted({name.partition(".")[0] for name in names})


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputMissing(f"{folder}: cannot be looked into ({error.strerror})", "it belongs to the experiment") from None
