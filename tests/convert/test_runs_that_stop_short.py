"""A run of which fewer volumes come than its header announces says so when it is over."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from assembly import Scanner, image, instances, mosaics, voxels_of
from pydicom import dcmread

from rtbids.convert import dicom, protocol
from rtbids.replay.series import written

SHORT = "stopped short"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text.partition(f"{SHORT}: ")[2] for text in caplog.messages if SHORT in text]


def announced(index: int, volumes: int, received: float = 0.0) -> dicom.Instance:
    """Return a mosaic whose protocol announces so many volumes, as Siemens writes it: repetitions of the first."""
    dataset = dcmread(BytesIO(bytes(mosaics().dicom(voxels_of(index), index))))
    text = f"### ASCCONV BEGIN ###\nlRepetitions\t = \t{volumes - 1}\n".encode()
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x20, "OB", text)
    return dicom.read(written(dataset, f"1.2.3.{index}"), f"{index}.dcm", received)


@pytest.mark.parametrize(("came", "lacking"), [((0, 1, 2), True), ((0, 1, 2, 3, 4), False), ((0, 2, 4), False)])
def test_a_run_that_its_protocol_announces_to_be_longer_is_named(came, lacking, caplog) -> None:
    scanner = Scanner().send(*(announced(index, 5) for index in came)).finish()
    assert scanner.indices == list(came)
    assert said(caplog) == (["3 of the 5 volumes that its header announces came"] if lacking else [])
    assert scanner.ends[0].missing == tuple(sorted(set(range(came[-1])) - set(came)))  # what was not measured is not missing


def test_the_protocol_ends_no_run(caplog) -> None:
    scanner = Scanner().send(*(announced(index, 2) for index in range(4))).finish()
    assert scanner.indices == [0, 1, 2, 3]
    assert said(caplog) == []


def test_a_run_of_unknown_length_is_not_called_short(caplog) -> None:
    Scanner().send(*(image(mosaics(), index) for index in range(2))).finish()
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("siemens_mosaic_ve11_rtcloud", "3 of the 196 volumes"),  # lRepetitions
        ("siemens_xa30_enhanced", "10 of the 20 volumes"),  # NumberOfTemporalPositions
        ("siemens_xa60_interrupted", "1 of the 328 volumes"),
        ("ge_architect_groupdelay", "3 of the 50 volumes"),
        ("siemens_xa60_enhanced", ""),
        ("siemens_mosaic_vd13_cmrr_reversed", ""),
        ("siemens_mosaic_vb17_nf", ""),  # its protocol was removed
    ],
)
def test_real_series_of_which_a_part_was_kept_are_named(real_data: Path, name: str, text: str, caplog) -> None:
    Scanner().send(*instances((real_data / name / "dicom").iterdir())).finish()
    assert said(caplog) == ([f"{text} that its header announces came"] if text else [])


def test_both_counts_of_a_real_header_agree(real_data: Path) -> None:
    for name in ("siemens_xa30_enhanced", "siemens_xa60_enhanced", "siemens_xa60_interrupted"):
        file = min((real_data / name / "dicom").iterdir())
        found = dicom.read(file.read_bytes(), file.name, 0.0)
        assert protocol.read(found).volumes == found.dataset.NumberOfTemporalPositions
