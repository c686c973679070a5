"""De-identification of one file in memory, beside pydicom's bare reading and writing and beside other tools that do the same.

Processor time, medians over interleaved rounds, of files of their own SOP Instance UID each: what a tool remembers of a series
it may use, what it remembers of a file not. The others read and write with pydicom. What survives in their output is no part
of this measurement.
"""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import figures
import numpy as np
import series
import timing
from pydicom import dcmread

from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Profile

ROUNDS = 41
FORMS = {  # folder, and how many times pydicom's reading and writing it may take at the most
    "Siemens mosaic": ("siemens_mosaic_ve11_rtcloud", 1.6),
    "Siemens mosaic, CMRR": ("siemens_mosaic_vd13_cmrr_reversed", 1.6),
    "Siemens XA30, enhanced": ("siemens_xa30_enhanced", 1.3),
    "GE, one slice": ("ge_mr750_epirt", None),
    "Philips, one slice": ("philips_classic_oneback", None),
}
Way = Callable[[bytes], object]


def measure() -> Iterator[str]:
    if not series.DATA.is_dir():
        yield f"real series not found at {series.DATA}: set RTBIDS_TEST_DATA"
        return
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        ways = dict(_ways(Path(folder)))
        for name, (where, limit) in FORMS.items():
            yield from _form(name, where, limit, ways)
        yield from (f"  {name} is not installed" for name in _OTHERS if name not in ways)


def _form(name: str, where: str, limit: float | None, ways: dict[str, Way]) -> Iterator[str]:
    contents = [path.read_bytes() for path in sorted((series.DATA / where / "dicom").rglob("*")) if path.is_file()]
    copies = [_with_own_uid(contents[number % len(contents)], number) for number in range(ROUNDS + 3)]
    spent = _interleaved(copies, ways)
    bare, ours = spent.pop("pydicom, read and write"), spent.pop("rtbids")
    multiple = np.median(ours) / np.median(bare)
    to_reach = f" (≤ {limit} to reach)" if limit else ""
    yield figures.spread(f"{name}, {len(copies[0]) // 1000} kB", ours) + f"   {multiple:.2f} × pydicom{to_reach}"
    yield figures.against("  pydicom, read and write", bare, ours)
    for other, times in spent.items():
        yield figures.against(f"  {other}", times, ours) if times else f"  {other:<32} fails on it"


def _with_own_uid(content: bytes, number: int) -> bytes:
    """Return a copy of a file with a SOP Instance UID of its own, of the same length."""
    uid = str(dcmread(BytesIO(content), specific_tags=["SOPInstanceUID"]).SOPInstanceUID).encode()
    return content.replace(uid, uid[:-4] + b"%04d" % (1000 + number))


def _interleaved(copies: list[bytes], ways: dict[str, Way]) -> dict[str, list[float]]:
    """Return what each way took for each copy, the first three left out; nothing for a way that failed."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    failed = set()
    for copy in copies:
        for name, way in ways.items():
            if name in failed:
                continue
            try:
                spent[name] += timing.cpu(lambda way=way, copy=copy: way(copy), 1)
            except Exception:  # another tool's; that it fails is a result
                failed.add(name)
    return {name: [] if name in failed else times[3:] for name, times in spent.items()}


def _ways(folder: Path) -> Iterator[tuple[str, Way]]:
    engine = Deidentifier(Profile(), Mapping(Key(bytes(range(32)))))
    yield "rtbids", engine.clean
    yield "pydicom, read and write", lambda content: dcmread(BytesIO(content)).save_as(BytesIO())
    for name, make in _OTHERS.items():
        if importlib.util.find_spec(make.__name__.strip("_")):
            yield name, make(folder)


def _dicognito(folder: Path) -> Way:
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer()
    return lambda content: _rewritten(content, anonymizer.anonymize)


def _dicomanonymizer(folder: Path) -> Way:
    from dicomanonymizer import anonymize_dataset

    return lambda content: _rewritten(content, anonymize_dataset)


def _deid(folder: Path) -> Way:
    from deid.config import DeidRecipe
    from deid.dicom import get_identifiers, replace_identifiers
    from deid.logger import bot

    bot.level = 0
    recipe, file = DeidRecipe(), folder / "one.dcm"

    def way(content: bytes) -> object:
        file.write_bytes(content)
        found = get_identifiers([str(file)])
        return replace_identifiers([str(file)], deid=recipe, ids=found, save=True, output_folder=str(folder), overwrite=True)

    return way


def _rewritten(content: bytes, change: Callable[[Any], object]) -> bytes:
    dataset = dcmread(BytesIO(content))
    change(dataset)
    written = BytesIO()
    dataset.save_as(written)
    return written.getvalue()


_OTHERS = {"dicognito": _dicognito, "dicom-anonymizer": _dicomanonymizer, "deid, its default": _deid}
