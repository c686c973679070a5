"""The beginning of a file, read by pydicom and compared with what pynetdicom would have written."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage
from pynetdicom.dsutils import create_file_meta, encode_file_meta

from rtbids.watch.part10 import header


@pytest.mark.parametrize("instance", ["1.2.3", "1.2.34", "1." * 31 + "23"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_header_is_the_one_that_pynetdicom_writes(instance, syntax):
    theirs = create_file_meta(sop_class_uid=MRImageStorage, sop_instance_uid=instance, transfer_syntax=syntax)
    assert header(MRImageStorage, instance, syntax) == bytes(128) + b"DICM" + encode_file_meta(theirs)
    assert dcmread(BytesIO(header(MRImageStorage, instance, syntax))).file_meta.MediaStorageSOPInstanceUID == instance
