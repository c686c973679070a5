"""What the headers of a source that is all there tell: kinds of image, numbers of images, and which phases go with what."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest
from assembly import Scanner, image, mosaics, voxels_of
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from test_echoes import ECHO_TIMES, scanned

from rtbids.convert import beforehand, dicom
from rtbids.convert.one_series import key_of
from rtbids.replay.forms import FORMS, Form
from rtbids.replay.series import written


def known(instances: Iterable[dicom.Instance]) -> beforehand.Foreseen:
    found = [beforehand.header(BytesIO(one.content), lambda one=one: one.content) for one in instances]
    return beforehand.foreseen([one for one in found if one], is_complete=True)


def re_encoded(instance: dicom.Instance, syntax: str) -> dicom.Instance:
    dataset = dcmread(BytesIO(bytes(instance.content)))
    dataset.file_meta.TransferSyntaxUID = syntax
    file = BytesIO()
    dataset.save_as(file, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=True)
    return dicom.read(file.getvalue(), instance.name, 0.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_the_echoes_of_a_series_are_known_in_whatever_way_it_is_written(form: Form, syntax: str | None) -> None:
    files = [re_encoded(one, syntax) if syntax else one for one in scanned(form, None)]
    found = known(files)
    (key,) = {key_of(one.dataset) for one in files}
    assert sorted(kind.echo_time for kind in found.kinds(key)) == [1000 * seconds for seconds in ECHO_TIMES]
    assert found.images(key) == len(files)


def test_copies_of_an_image_count_once() -> None:
    files = [*scanned("mosaic", None), *scanned("mosaic", None)]
    assert known(files).images(key_of(files[0].dataset)) == len(files) // 2


def test_images_whose_series_uid_was_scrambled_are_counted_together() -> None:
    files = []
    for number, one in enumerate(scanned("mosaic", None)):
        dataset = dcmread(BytesIO(bytes(one.content)))
        dataset.SeriesInstanceUID = f"1.2.3.{number}"
        files.append(dicom.read(written(dataset, f"1.2.4.{number}"), one.name, 0.0))
    found = known(files)
    assert {found.images(key_of(one.dataset)) for one in files} == {len(files)}
    assert {len(found.kinds(key_of(one.dataset))) for one in files} == {3}


@pytest.mark.parametrize("scramble_copy", [False, True])
def test_a_copy_among_images_whose_series_uid_was_scrambled_changes_nothing(scramble_copy: bool) -> None:
    files = []
    for number, one in enumerate(scanned("mosaic", None)):
        for copy in range(2 if number == 1 else 1):
            dataset = dcmread(BytesIO(bytes(one.content)))
            dataset.SeriesInstanceUID = f"1.2.3.{number}" + (".9" if copy and scramble_copy else "")
            files.append(dicom.read(written(dataset, f"1.2.4.{number}"), one.name, 0.0))
    found = known(files)
    assert {found.images(key_of(one.dataset)) for one in files} == {len(files) - 1}
    assert {len(found.kinds(key_of(one.dataset))) for one in files} == {3}


class Counted(BytesIO):
    """A file that counts the bytes which are read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.count += len(content)
        return content


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_of_a_file_no_more_than_its_header_is_read(syntax: str | None) -> None:
    (one,) = (image(mosaics(), 0),)
    one = re_encoded(one, syntax) if syntax else one
    file = Counted(bytes(one.content) + bytes(1 << 20))
    assert beforehand.header(file, lambda: b"") is not None
    assert file.count < 4096


def test_of_a_foreign_file_no_more_than_its_beginning_is_read() -> None:
    file = Counted(b"meas" * (1 << 20))
    assert beforehand.header(file, lambda: b"") is None
    assert file.count <= 1024


@pytest.mark.parametrize("content", [b"", b"a text", bytes(200), b"\0" * 128 + b"DICX"])
def test_what_is_no_dicom_file_tells_nothing(content: bytes) -> None:
    assert beforehand.header(BytesIO(content), lambda: content) is None


@pytest.mark.parametrize("kept", [140, 400])
def test_a_header_that_is_cut_is_one_that_nobody_knows(kept: int) -> None:
    content = bytes(next(scanned("mosaic", None)).content)[:kept]
    with pytest.raises(beforehand.Unknown):
        beforehand.header(BytesIO(content), lambda: content)


def test_a_series_that_nobody_knew_of_ends_as_if_nothing_were_known() -> None:
    nothing = beforehand.Foreseen()
    assert (nothing.kinds("a"), nothing.images("a"), nothing.has_parts("a")) == (frozenset(), None, False)


def test_real_headers_tell_what_is_converted(real_data: Path) -> None:
    for folder in sorted(real_data.glob("siemens_*/dicom")):
        files = [dicom.read(file.read_bytes(), file.name, 0.0) for file in sorted(folder.iterdir())]
        found = known(files)
        for key in {key_of(one.dataset) for one in files}:
            assert found.images(key) == sum(key_of(one.dataset) == key for one in files)
            assert len(found.kinds(key)) == 1
            assert not found.has_parts(key)


def phases(number: int, volumes: int = 2) -> list[dicom.Instance]:
    return [image(mosaics(number, image_type=("P", "ND")), index) for index in range(volumes)]


def magnitudes(number: int, volumes: int = 2) -> list[dicom.Instance]:
    return [image(mosaics(number), index) for index in range(volumes)]


def labels(scanner: Scanner) -> list[tuple[str, str | None]]:
    runs = dict.fromkeys((end.entities["run"], end.entities.get("part")) for end in scanner.ends)
    return list(runs)


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ("m5 p6 m7 p8", [("01", None), ("01", "phase"), ("02", None), ("02", "phase")]),
        ("m5 m7 p8", [("01", None), ("02", None), ("02", "phase")]),
        ("p6 m5 p8 m7", [("01", "phase"), ("01", None), ("02", "phase"), ("02", None)]),
        ("m7 p8 m5 p6", [("01", None), ("01", "phase"), ("02", None), ("02", "phase")]),
        ("p6 p8", [("01", "phase"), ("02", "phase")]),
    ],
)
def test_phases_have_the_run_label_of_the_magnitudes_measured_with_them(
    order: str, found: list[tuple[str, str | None]]
) -> None:
    makers = {"m": magnitudes, "p": phases}
    scanner = Scanner()
    for series in order.split():
        scanner.send(*makers[series[0]](int(series[1])))
    assert labels(scanner.finish()) == found


def test_magnitudes_are_named_where_their_phases_are_known_to_come() -> None:
    files = [*magnitudes(5), *phases(6), *magnitudes(7)]
    scanner = Scanner(foreseen=known(files)).send(*files).finish()
    assert labels(scanner) == [("01", "mag"), ("01", "phase"), ("02", None)]


def test_a_run_of_which_every_image_has_come_ends_when_another_series_begins() -> None:
    files = [*magnitudes(5), *magnitudes(6), *magnitudes(7)]
    scanner = Scanner(foreseen=known(files)).send(*files[:3])
    assert [end.count for end in scanner.ends] == [2]
    assert [end.count for end in scanner.send(*files[3:]).finish().ends] == [2, 2, 2]


def test_a_run_waits_for_images_that_are_known_to_come() -> None:
    files = [*magnitudes(5, 3), *magnitudes(6)]
    late = files.pop(1)
    scanner = Scanner(foreseen=known([*files, late])).send(*files, late).finish()
    assert sorted((volume.metadata["SeriesNumber"], volume.index) for volume in scanner.volumes) == [
        *((5, index) for index in range(3)),
        *((6, index) for index in range(2)),
    ]
    assert all(end.missing == () for end in scanner.ends)
    assert (scanner.volumes[1].data == voxels_of(scanner.volumes[1].index)).all()
