"""What may leave of a stream of BIDS-I that somebody else made: volumes, and nothing of who was measured."""

from __future__ import annotations

import gzip
import io
import json
import logging
import struct
from collections.abc import Iterator, Mapping

import nibabel
import numpy as np
import pytest

from rtbids import nifti
from rtbids.cli.withheld import Withheld
from rtbids.errors import BadData
from rtbids.stream import bidsi, units, wire
from rtbids.volume import Volume

NAME = "Mueller"
RUN = "sub-01/func/sub-01_task-nf_run-01"
VOXELS = np.arange(24, dtype=">i2").reshape(2, 3, 4)


def image(*, order: str = "<", extension: bool = True) -> bytes:
    """Return a volume as nibabel writes one, with a name wherever a header has room for words."""
    made = nibabel.Nifti1Image(VOXELS.astype(f"{order}i2"), np.diag([3, 3, 4, 1.0]), dtype=np.int16)
    header = made.header if order == "<" else made.header.as_byteswapped(">")
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        header[field] = NAME.encode()
    made = nibabel.Nifti1Image(VOXELS.astype(f"{order}i2"), made.affine, header)
    if extension:
        made.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", f"of {NAME}".encode()))
    return made.to_bytes() + (NAME.encode() if extension else b"")


def planted() -> dict[str, bytes]:
    """Return a stream with a name in each place that BIDS-I has, and in files that it has not."""
    sidecar = {"RepetitionTime": 1.0, "TaskName": "nf", "PatientName": f"{NAME}^Jane", "SeriesDescription": f"nf {NAME}"}
    sidecar |= {"Comment": NAME, "Notes": [NAME], "Operator": {"Name": NAME}, "EchoTime": 0.03, "Manufacturer": "Siemens"}
    volume = {"index": 0, "times": {"received": 5.0}, "metadata": {"ImageComments": NAME, "Remark": NAME}, "for": NAME}
    return {
        "dataset_description.json": json.dumps({"Name": "x", "BIDSVersion": "1.10.0", "Patient": NAME}).encode(),
        "README": b"A study of regulation.",
        "CHANGES": NAME.encode() + b"\0\1",
        "participants.tsv": f"participant_id\tgroup\tname\nsub-01\tpatients\t{NAME}\n".encode(),
        "participants.json": json.dumps({"group": {"Levels": {"a": "b"}}, NAME: {"Description": NAME}}).encode(),
        "sub-01/sub-01_sessions.tsv": f"session_id\tacq_time\tby\nses-1\t1999-01-01\t{NAME}\n".encode(),
        "sub-01/sub-01_scans.tsv": f"filename\toperator\nfunc/x.nii\t{NAME}\n".encode(),
        f"{RUN}_bold.json": json.dumps(sidecar).encode(),
        f"{RUN}_events.tsv": b"onset\tduration\ttrial_type\n0\t1\tregulate\n",
        "sub-01/anat/sub-01_T1w.json": json.dumps({"PatientName": NAME}).encode(),
        "sub-01/anat/sub-01_T1w.nii.gz": gzip.compress(image()),
        f"sourcedata/{NAME}.dcm": NAME.encode(),
        f"{RUN}_vol-00000_bold.json": json.dumps(volume).encode(),
        f"{RUN}_vol-00000_bold.nii": image(),
        f"{RUN}_end.json": json.dumps({"count": 1, "missing": [], "by": NAME}).encode(),
    }


def members(contents: Mapping[str, bytes]) -> Iterator[wire.Member]:
    return (wire.Member(name, memoryview(content), 1.0) for name, content in contents.items())


def left(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {member.name: bytes(member.content) for member in Withheld().known_members(members(contents))}


def test_no_member_that_leaves_has_the_name_and_the_volumes_do(caplog):
    before = planted()
    hiding = {name for name, content in before.items() if NAME.encode() in unpacked(content)}
    assert set(before) - hiding == {"README", f"{RUN}_events.tsv"}
    caplog.set_level(logging.WARNING, "rtbids")
    after = left(before)
    assert not [name for name, content in after.items() if NAME.encode() in content + name.encode()]
    assert {"README", f"{RUN}_events.tsv"} <= set(after)
    volume, end = bidsi.decode(members(after), "here")
    assert isinstance(volume, Volume)
    assert np.array_equal(volume.data, VOXELS)
    assert dict(volume.metadata) == {
        "RepetitionTime": 1.0, "TaskName": "nf", "EchoTime": 0.03, "Manufacturer": "Siemens", "SeriesDescription": "nf",
    }  # fmt: skip
    assert volume.belongings is not None
    assert volume.belongings.rows["participants"] == {"group": "patients"}
    assert set(json.loads(volume.belongings.files["participants.json"])) == {"group"}
    assert end.count == 1
    assert NAME not in caplog.text
    assert "5 files did not leave" in caplog.text


def unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extension", [True, False])
def test_a_volume_without_the_texts_of_its_header_is_the_same_to_nibabel(order, extension):
    content = image(order=order, extension=extension)
    after = nifti.without_texts(content)
    assert NAME.encode() in content
    assert NAME.encode() not in after
    found, before = (nibabel.Nifti1Image.from_bytes(bytes(one)) for one in (after, content))
    assert np.array_equal(np.asarray(found.dataobj), VOXELS)
    assert np.array_equal(found.affine, before.affine)
    assert found.header.get_zooms() == before.header.get_zooms()
    assert not found.header.extensions
    assert nifti.without_texts(after) is after  # ours pass without a copy


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (f"{RUN}_bold.json", b"\0" * 128 + b"DICM", "DICOM file by another name"),
        (
            f"{RUN}_vol-00000_bold.nii",
            struct.pack("<i", 348) + b"\0" * 124 + b"DICM" + b"\0" * 300,
            "DICOM file by another name",
        ),
        ("README", b" " * 128 + b"DICM", "DICOM file by another name"),
        (f"{RUN}_bold.json", b"Mueller", "not JSON"),
        (f"{RUN}_bold.json", b"[" * 100000, "not JSON"),
        (f"{RUN}_vol-00000_bold.json", b"[1]", "not a JSON object"),
        (f"{RUN}_vol-00000_bold.nii", b"Mueller" * 100, "not a NIfTI-1 file"),
        (f"{RUN}_vol-00000_bold.nii", image(extension=False)[:-1], "expected 400"),
        ("Info.json", b"{}", "nothing leaves"),
    ],
)
def test_what_is_not_what_its_name_says_ends_the_stream_with_the_reason(name, content, said):
    with pytest.raises(BadData, match=said) as caught:
        left({name: content})
    assert NAME not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "sub-01/ses-a/func/sub-01_ses-a_task-x_chunk-1_bold.json",
        "func/task-x_bold.json",
        "sub-1/func/sub-1_task-x_echo-2_bold.json",
    ],
)
def test_runs_of_every_name_leave(name):
    assert list(left({name: b'{"EchoTime": 0.03}'})) == [name]


def test_a_text_that_is_hidden_by_a_second_field_of_the_name_does_not_leave():
    twice = b'{"EchoTime": "Mueller", "EchoTime": 0.03}'
    assert json.loads(left({f"{RUN}_bold.json": twice})[f"{RUN}_bold.json"]) == {"EchoTime": 0.03}


def test_a_stream_whose_first_member_does_not_leave_is_one_of_bidsi_still():
    found = list(Withheld().known_members(members({"Info.json": b"{}", "README": b"x", **planted()})))
    assert found[0].name == "dataset_description.json"
    assert not any(unit.is_file for unit in units.of_members(iter(found)))


def test_what_rtbids_itself_has_written_leaves_as_it_is():
    volume = next(item for item in bidsi.decode(members(left(planted())), "here") if isinstance(item, Volume))
    file = io.BytesIO()
    bidsi.write([volume], file)
    file.seek(0)
    before = {member.name: bytes(member.content) for member in wire.members(file)}
    assert left(before) == before
