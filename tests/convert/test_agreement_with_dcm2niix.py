"""Real series of every vendor convert to what dcm2niix wrote for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from assembly import Scanner, instances

from rtbids.volume import Volume

FUNCTIONAL = {
    "siemens_mosaic_vb17_nf": 6,
    "siemens_mosaic_ve11_rtcloud": 3,
    "siemens_mosaic_vd13_cmrr_reversed": 6,
    "siemens_mosaic_vb17_sag": 2,
    "siemens_mosaic_vb17_cor": 2,
    "siemens_xa30_enhanced": 10,
    "siemens_xa60_enhanced": 3,
    "ge_mr750_epirt": 5,
    "ge_architect_groupdelay": 3,
    "philips_classic_oneback": 6,
    "philips_classic_3vol": 3,
    "philips_enhanced_4vol": 4,
}
DIFFUSION = {"uih_grid_dti": (9, 17), "canon_classic_dti": (10000, 2)}
KEYS = ("RepetitionTime", "EchoTime", "FlipAngle", "PhaseEncodingDirection", "PhaseEncodingAxis")
KEYS += ("EffectiveEchoSpacing", "TotalReadoutTime", "SliceTiming", "MagneticFieldStrength", "SliceThickness")
KEYS += ("SpacingBetweenSlices", "EstimatedEffectiveEchoSpacing", "EstimatedTotalReadoutTime", "MultibandAccelerationFactor")


def reference(folder: Path) -> tuple[Any, dict[str, Any]]:
    (image,) = (folder / "reference").glob("*.nii.gz")
    return nib.load(image), json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())


def converted(folder: Path, **options: Any) -> Scanner:
    return Scanner(**options).send(*instances((folder / "dicom").iterdir())).finish()


def assert_equal_images(volumes: list[Volume], expected: Any) -> None:
    stored = np.asarray(expected.dataobj.get_unscaled()).reshape(*expected.shape[:3], -1)
    for volume in volumes:
        np.testing.assert_array_equal(volume.data, stored[..., volume.index])
        assert volume.data.dtype == stored.dtype
        # dcm2niix derives origin and steps in single precision, from rounded header values where it can choose
        np.testing.assert_allclose(volume.affine, expected.affine, rtol=0, atol=0.005)
        assert (volume.slope, volume.inter) == pytest.approx((expected.dataobj.slope, expected.dataobj.inter), rel=1e-6)


def assert_equal_fields(metadata: dict[str, Any], expected: dict[str, Any], *, but: tuple[str, ...] = ()) -> None:
    # dcm2niix writes six digits: 2e-5 relative, and 2e-6 s for slice times
    for key in set(KEYS) - set(but):
        found, wanted = metadata.get(key), expected.get(key)
        if isinstance(wanted, str) or wanted is None:
            assert found == wanted, key
        else:
            assert found == pytest.approx(wanted, rel=2e-5, abs=2e-6), key


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional_series_equal_the_reference(real_data: Path, name: str) -> None:
    image, fields = reference(real_data / name)
    scanner = converted(real_data / name)
    assert scanner.indices == list(range(FUNCTIONAL[name]))
    assert [(end.count, end.missing) for end in scanner.ends] == [(FUNCTIONAL[name], ())]
    assert_equal_images(scanner.volumes, image)
    assert_equal_fields(dict(scanner.volumes[-1].metadata), fields)


# ImageType: dcm2niix adds what the image is, here it is DICOM's; the others tell who converted, and when the volume was taken.
OWN_FIELDS = {"ImageType", "ConversionSoftware", "ConversionSoftwareVersion", "SeriesNumber", "TaskName"}


@pytest.mark.parametrize("name", [*FUNCTIONAL, *DIFFUSION])
def test_every_field_that_dcm2niix_writes_too_has_its_value(real_data: Path, name: str) -> None:
    _, fields = reference(real_data / name)
    ours = dict(
        converted(real_data / name, series=frozenset({DIFFUSION.get(name, (fields["SeriesNumber"],))[0]})).volumes[-1].metadata
    )
    shared = set(ours) & set(fields) - OWN_FIELDS - ({"SliceTiming"} if name == "uih_grid_dti" else set())
    assert {"Manufacturer", "RepetitionTime", "EchoTime", "FlipAngle"} <= shared
    for key in shared:
        if isinstance(fields[key], str | bool):
            assert ours[key] == fields[key], key
        else:
            assert ours[key] == pytest.approx(fields[key], rel=2e-5, abs=2e-6), key


# Of the fields that BIDS names for MRI (1.10, "Magnetic Resonance Imaging"), without those that tell where and by what machine.
FIELDS = """
    Manufacturer ManufacturersModelName SoftwareVersions MagneticFieldStrength ReceiveCoilName ReceiveCoilActiveElements
    NumberReceiveCoilActiveElements GradientSetType CoilCombinationMethod NumberTransmitCoilActiveElements TablePosition
    PulseSequenceType ScanningSequence SequenceVariant ScanOptions SequenceName PulseSequenceDetails NonlinearGradientCorrection
    MRAcquisitionType MTState SpoilingState SpoilingType PhaseEncodingDirection NumberShots ParallelReductionFactorInPlane
    ParallelReductionFactorOutOfPlane ParallelAcquisitionTechnique PartialFourier PartialFourierDirection EffectiveEchoSpacing
    TotalReadoutTime EchoTime InversionTime DwellTime RepetitionTime SliceTiming SliceEncodingDirection DelayTime FlipAngle
    NegativeContrast MultibandAccelerationFactor BodyPart SliceThickness
"""
# dcm2niix writes a table position of others than Siemens too: 0, a number that is none (-1.7e38), or in GE's case the place of
# a slice. The direction of a partial Fourier that the header says is not used is none either.
LEFT_OUT = {name: {"TablePosition"} for name in FUNCTIONAL if not name.startswith("siemens")}
LEFT_OUT["philips_enhanced_4vol"] |= {"PartialFourierDirection"}


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_no_field_of_bids_is_lacking_that_dcm2niix_finds(real_data: Path, name: str) -> None:
    _, fields = reference(real_data / name)
    assert set(FIELDS.split()) & set(fields) - set(converted(real_data / name).volumes[-1].metadata) == LEFT_OUT.get(
        name, set()
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "siemens_mosaic_vd13_cmrr_reversed",
            {"ReceiveCoilActiveElements": "HEA;HEP", "DwellTime": 3.4e-6, "NonlinearGradientCorrection": False},
        ),
        ("siemens_xa30_enhanced", {"ReceiveCoilName": "HeadNeck_64", "PulseSequenceType": "Multiband Gradient Echo EPI"}),
        ("siemens_xa30_enhanced", {"PartialFourier": 7 / 8, "ScanOptions": "PFP\\FS", "ParallelReductionFactorInPlane": 1}),
        (
            "siemens_mosaic_ve11_rtcloud",
            {"ReceiveCoilActiveElements": "HC1-7", "PulseSequenceDetails": "%SiemensSeq%\\ep2d_bold"},
        ),
        ("siemens_mosaic_vb17_sag", {"DelayTime": 0.5, "ReceiveCoilName": "HeadMatrix"}),
        ("philips_enhanced_4vol", {"ParallelReductionFactorInPlane": 1, "PulseSequenceType": "Gradient Echo"}),
        ("siemens_xa60_enhanced", {"ParallelAcquisitionTechnique": "SMS", "NonlinearGradientCorrection": True}),
        ("philips_classic_oneback", {"ParallelReductionFactorInPlane": 2, "MTState": False, "SpoilingState": False}),
        ("ge_mr750_epirt", {"Manufacturer": "GE", "ScanningSequence": "EP\\GR", "BodyPart": "BRAIN"}),
    ],
)
def test_recommended_fields_are_read_where_the_maker_keeps_them(real_data: Path, name: str, expected: dict[str, Any]) -> None:
    found = converted(real_data / name).volumes[0].metadata
    assert {key: found.get(key) for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", DIFFUSION)
def test_other_echo_planar_series_equal_the_reference_when_picked(real_data: Path, name: str) -> None:
    number, count = DIFFUSION[name]
    image, fields = reference(real_data / name)
    scanner = converted(real_data / name, series=frozenset({number}))
    assert scanner.indices == list(range(count))
    assert_equal_images(scanner.volumes, image)
    assert_equal_fields(dict(scanner.volumes[-1].metadata), fields, but=("SliceTiming",))


@pytest.mark.parametrize("name", DIFFUSION)
def test_diffusion_is_left_alone_unless_it_is_picked(real_data: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    assert converted(real_data / name).items == []
    assert [record.getMessage().split(")")[1] for record in caplog.records] == [" is not functional: left alone"]


def test_slice_times_of_a_uih_grid_are_those_of_its_dicom(real_data: Path) -> None:
    _, fields = reference(real_data / "uih_grid_dti")
    scanner = converted(real_data / "uih_grid_dti", series=frozenset({9}))
    # dcm2niix rounds these to 1/64 s
    assert scanner.volumes[0].metadata["SliceTiming"] == pytest.approx(fields["SliceTiming"], abs=1 / 64)


def test_an_interrupted_volume_is_refused_and_names_its_missing_slices(
    real_data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = real_data / "siemens_xa60_interrupted"
    scanner = converted(folder)
    assert scanner.indices == [0]
    assert scanner.ends[0].count == 1
    assert scanner.ends[0].missing == tuple(range(1, 21))
    assert any("volume 20 of" in text and "slices 19, 21, 23, 25, 27, 29, 31, 33" in text for text in caplog.messages)
    assert any("volumes 1 to 19 of" in text and "did not come" in text for text in caplog.messages)
    whole = nib.load(folder / "reference" / "ref_s6_e1.nii.gz")
    assert_equal_images(scanner.volumes, whole)


@pytest.mark.parametrize("name", ["siemens_xa30_enhanced", "philips_classic_oneback", "ge_mr750_epirt"])
def test_sidecars_hold_nothing_that_identifies_a_person(real_data: Path, name: str) -> None:
    _, fields = reference(real_data / name)
    text = json.dumps(dict(converted(real_data / name).volumes[0].metadata))
    assert len(text) < 8192
    for key in (
        "InstitutionName",
        "InstitutionAddress",
        "DeviceSerialNumber",
        "StationName",
        "StudyDescription",
        "AcquisitionTime",
    ):
        assert key not in text
        assert key not in fields or str(fields[key]) not in text


def test_volumes_lie_in_memory_as_in_the_file(real_data: Path) -> None:
    for name in ("siemens_mosaic_vd13_cmrr_reversed", "siemens_xa30_enhanced", "ge_mr750_epirt"):
        for volume in converted(real_data / name).volumes:
            assert volume.data.flags.f_contiguous
            assert not volume.data.flags.writeable


@pytest.mark.parametrize("name", ["philips_classic_oneback", "ge_mr750_epirt", "siemens_xa30_enhanced", "canon_classic_dti"])
def test_order_of_arrival_changes_nothing(real_data: Path, name: str) -> None:
    files = instances((real_data / name / "dicom").iterdir())
    number = int(files[0].dataset.SeriesNumber)
    straight = Scanner(series=frozenset({number})).send(*files).finish()
    np.random.default_rng(7).shuffle(files)  # type: ignore[arg-type]
    shuffled = Scanner(series=frozenset({number})).send(*files).finish()
    assert shuffled.indices == straight.indices
    for one, other in zip(straight.volumes, shuffled.volumes, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.affine, other.affine)
        assert one.slope == other.slope
    assert straight.volumes[-1].metadata == shuffled.volumes[-1].metadata
