"""Real series convert to the same after de-identification, by dcm2niix and by rtbids itself; what is lost is listed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from rtbids.clock import ManualClock
from rtbids.convert import dicom, series
from rtbids.deidentify.engine import Deidentifier
from rtbids.deidentify.mapping import Key, Mapping
from rtbids.deidentify.profile import Profile
from rtbids.errors import BadData
from rtbids.replay.enhanced import EnhancedSeries
from rtbids.replay.mosaic import MosaicSeries
from rtbids.replay.series import Series
from rtbids.replay.slices import SliceSeries
from rtbids.volume import Item, Volume

# Fields that dcm2niix writes no more, by series; the lists may only become shorter. Those of OF_WHO name the person, the place
# and the time; the others are read from private elements: ConsistencyInfo is the version of the scanner's software, TxRefAmp
# goes with the patient's weight, WipMemBlock and PrescanReuseString are free text. BIDS knows none of them. SequenceName and
# TablePosition of the enhanced Philips series: a text that is no known word, and an element in a block without a creator.
# Names go wherever they stand: one phantom is called like its sequence (epiRT).
SIEMENS = {"ConsistencyInfo", "TxRefAmp"}
LOST = {
    "broken_files": SIEMENS,
    "canon_classic_dti": set(),
    "ge_architect_groupdelay": {"PrescanReuseString", "SequenceName"},
    "ge_mr750_epirt": {"PrescanReuseString"},
    "philips_classic_3vol": set(),
    "philips_classic_oneback": set(),
    "philips_enhanced_4vol": {"SequenceName", "TablePosition"},
    "siemens_mosaic_vb17_cor": SIEMENS,
    "siemens_mosaic_vb17_nf": set(),
    "siemens_mosaic_vb17_sag": SIEMENS,
    "siemens_mosaic_vd13_cmrr_reversed": SIEMENS | {"WipMemBlock"},
    "siemens_mosaic_ve11_rtcloud": SIEMENS,
    "siemens_xa30_enhanced": SIEMENS | {"WipMemBlock"},
    "siemens_xa60_enhanced": SIEMENS,
    "siemens_xa60_interrupted": SIEMENS,
    "transfer_syntaxes": SIEMENS,
    "uih_grid_dti": set(),
}
OF_WHO = {
    "AccessionNumber", "AcquisitionDateTime", "BidsGuess", "DeviceSerialNumber", "ImageComments",
    "InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName", "PatientAge", "PatientBirthDate", "PatientID",
    "PatientName", "PatientSex", "PatientSize", "PatientWeight", "PerformingPhysicianName", "ProcedureStepDescription",
    "ProtocolName", "ReferringPhysicianName", "SeriesDescription", "SeriesInstanceUID", "StationName", "StudyDescription",
    "StudyID", "StudyInstanceUID",
}  # fmt: skip
METHOD = {"DeidentificationMethod", "DeidentificationMethodCodeSequence"}
MAIN = ("SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime", "EffectiveEchoSpacing", "RepetitionTime", "EchoTime")


@dataclass(frozen=True)
class Converted:
    """What dcm2niix made of a folder."""

    image: Any
    fields: dict[str, Any]
    gradients: tuple[str, ...]


@pytest.fixture(scope="module")
def engine() -> Deidentifier:
    return Deidentifier(Profile(), Mapping(Key(bytes(range(32)))))


def files(folder: Path) -> list[Path]:
    within = folder / "dicom"
    return sorted((within if within.is_dir() else folder).iterdir())


def whole(contents: Iterator[bytes] | list[bytes], engine: Deidentifier) -> Iterator[tuple[bytes, bytes]]:
    """Yield each file that is whole, and what it becomes."""
    for content in contents:
        try:
            yield content, engine.clean(content).content
        except BadData:  # the truncated one
            continue


def by_dcm2niix(contents: list[bytes], folder: Path) -> dict[str, Converted]:
    """Convert files; the images by number of the series and echo."""
    import dcm2niix

    source, target = folder / "in", folder / "out"
    source.mkdir(parents=True)
    target.mkdir()
    for number, content in enumerate(contents):
        (source / f"{number:04}.dcm").write_bytes(content)
    command = [dcm2niix.bin, "-f", "%s_%e", "-b", "y", "-ba", "n", "-z", "n", "-o", target, source]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return {image.name: _converted(image) for image in sorted(target.glob("*.nii"))}


def _converted(image: Path) -> Converted:
    texts = (image.with_suffix(suffix) for suffix in (".bval", ".bvec"))
    gradients = tuple(text.read_text() for text in texts if text.exists())
    return Converted(nib.load(image), json.loads(image.with_suffix(".json").read_text()), gradients)


@pytest.mark.parametrize("name", LOST)
def test_dcm2niix_writes_the_same_voxels_and_facts(real_data: Path, tmp_path: Path, engine: Deidentifier, name: str) -> None:
    pairs = list(whole([file.read_bytes() for file in files(real_data / name)], engine))
    before = by_dcm2niix([content for content, _ in pairs], tmp_path / "before")
    after = by_dcm2niix([content for _, content in pairs], tmp_path / "after")
    assert set(after) == set(before) != set()
    for image, old in before.items():
        new = after[image]
        assert_same_image(old.image, new.image)
        assert {field: new.fields.get(field) for field in MAIN} == {field: old.fields.get(field) for field in MAIN}
        assert set(old.fields) - set(new.fields) - OF_WHO == LOST[name], "shorten the list where it has become shorter"
        assert set(new.fields) - set(old.fields) <= METHOD | OF_WHO
        common = set(new.fields) & set(old.fields) - OF_WHO - METHOD
        assert {field: new.fields[field] for field in common} == {field: old.fields[field] for field in common}
        assert new.gradients == old.gradients


def assert_same_image(old: Any, new: Any) -> None:
    assert new.shape == old.shape
    np.testing.assert_array_equal(new.dataobj.get_unscaled(), old.dataobj.get_unscaled())
    np.testing.assert_array_equal(new.affine, old.affine)
    assert (new.dataobj.slope, new.dataobj.inter) == (old.dataobj.slope, old.dataobj.inter)


# The task is told by the protocol's name, of which only known words stay.
LOST_OF_OURS = {
    "ge_architect_groupdelay": {"SequenceName"},
    "philips_enhanced_4vol": {"SequenceName"},
}


def by_rtbids(contents: list[bytes]) -> list[Item]:
    found = [dicom.read(content, f"{number}.dcm", 0.0) for number, content in enumerate(contents)]
    found.sort(key=lambda instance: dicom.sort_key(instance.dataset))
    clock = ManualClock(1000.0)
    numbers = frozenset({int(found[0].dataset.SeriesNumber)})
    assembler = series.Assembler({}, series.counter(), series=numbers, clock=clock)
    return [item for instance in found for item in assembler.add(instance, clock.now())] + [*assembler.finish()]


@pytest.mark.parametrize("name", LOST)
def test_rtbids_makes_the_same_volumes_and_sidecars(real_data: Path, engine: Deidentifier, name: str) -> None:
    pairs = list(whole([file.read_bytes() for file in files(real_data / name)], engine))
    pairs = pairs[:1] if name == "transfer_syntaxes" else pairs  # one image nine times
    before, after = (by_rtbids([pair[side] for pair in pairs]) for side in (0, 1))
    assert len(before) == len(after) > 0
    for old, new in zip(before, after, strict=True):
        assert type(old) is type(new)
        if isinstance(old, Volume) and isinstance(new, Volume):
            assert_same_volume(old, new, LOST_OF_OURS.get(name, set()))


def assert_same_volume(old: Volume, new: Volume, lost: set[str]) -> None:
    np.testing.assert_array_equal(new.data, old.data)
    np.testing.assert_array_equal(new.affine, old.affine)
    assert (new.index, new.data.dtype, new.slope, new.inter) == (old.index, old.data.dtype, old.slope, old.inter)
    assert set(old.metadata) - set(new.metadata) == lost
    assert set(new.metadata) <= set(old.metadata)
    common = set(new.metadata) - {"TaskName", *OF_WHO}
    assert {field: new.metadata[field] for field in common} == {field: old.metadata[field] for field in common}


SHAPE, AFFINE = (8, 6, 5), np.array([[-3.0, 0, 0, 10], [0, 3.0, 0, -8], [0, 0, 4.0, -6], [0, 0, 0, 1]])


@pytest.mark.parametrize("scanner", [MosaicSeries, EnhancedSeries, SliceSeries])
def test_what_the_simulated_scanners_send_converts_to_the_same(engine: Deidentifier, scanner: type[Series]) -> None:
    scan = scanner(SHAPE, AFFINE, 2.0, 7, protocol="task-rest", volumes=2, echoes=1)
    values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    contents = [content for index in range(2) for content in scan.dicoms(values + index, index)]
    before, after = by_rtbids(contents), by_rtbids([engine.clean(content).content for content in contents])
    assert len(before) == len(after) == 3
    for old, new in zip(before[:2], after[:2], strict=True):
        assert isinstance(old, Volume)
        assert isinstance(new, Volume)
        assert {"SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime"} <= set(old.metadata)
        assert_same_volume(old, new, {"ManufacturersModelName"} - set(new.metadata))  # the patient is called like the model
