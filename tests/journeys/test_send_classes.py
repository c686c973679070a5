"""What a node is sent that is no MR image: it goes where the rules let it, and what may show a name is set aside."""

from __future__ import annotations

import json
import subprocess
from io import BytesIO
from pathlib import Path

from peers import LONG, free_port, program
from planted_series import assert_clean, series
from pydicom import dcmread
from pydicom.uid import UID, CTImageStorage, SecondaryCaptureImageStorage
from sending import Node, watching


def of_class(content: bytes, sop_class: UID, number: int) -> bytes:
    """Return the image as another class, in a series of its own."""
    image = dcmread(BytesIO(content))
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = sop_class
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"{image.SOPInstanceUID}.{number}"
    image.SeriesInstanceUID = f"{image.SeriesInstanceUID}.{number}"
    if sop_class == CTImageStorage:
        image.Modality = "CT"
    written = BytesIO()
    image.save_as(written)
    return written.getvalue()


def test_other_classes_come_by_the_network_and_secondary_captures_are_set_aside_with_the_reason(
    node: Node, tmp_path: Path
) -> None:
    store, port = program("storescu"), free_port()
    (node.home / "far").mkdir()
    mr = series(7)[0]
    capture = of_class(mr, SecondaryCaptureImageStorage, 2)
    for number, content in enumerate((mr, of_class(mr, CTImageStorage, 1), capture)):
        (tmp_path / f"{number}.dcm").write_bytes(content)
    sender = node.begin(f"file://{node.home / 'far'}", source=f"dicom-scp://RTBIDS@127.0.0.1:{port}")
    watching(sender)
    files = sorted(tmp_path.glob("*.dcm"))
    subprocess.run([store, "-R", "-aec", "RTBIDS", "127.0.0.1", str(port), *files], check=True, timeout=LONG)
    node.until(lambda status: (status["images"]["DONE"], status["images"]["ERROR"]) == (2, 1))
    arrived = [path.read_bytes() for path in (node.home / "far").rglob("*.dcm")]
    assert_clean(arrived, 2)
    assert {dcmread(BytesIO(content)).SOPClassUID.name for content in arrived} == {"MR Image Storage", "CT Image Storage"}
    (aside,) = (node.outbox / "quarantine").rglob("*.dcm")
    assert dcmread(aside).SOPClassUID == SecondaryCaptureImageStorage
    wrong = [json.loads(node.ask("show", batch, "--json", "--errors").out)["images"] for batch in (1, 2, 3)]
    (reason,) = [image["reason"] for images in wrong for image in images]
    assert reason == "it is a secondary capture, and its pixels may show who it is"
