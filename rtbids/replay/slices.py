"""Classic DICOM as GE writes it: one file a slice, numbered volume by volume, the counts in every header.

Slice times are in the protocol block as an order of acquisition and no others can be told: where the wanted ones are in none
of the vendor's orders they are left out.
"""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from rtbids.convert import ge
from rtbids.replay.series import Series, written

_SAME_TIME = 1e-3  # seconds by which slice times may differ from the vendor's even steps


class SliceSeries(Series):
    """A series of single slices. Readers order them by place: of a right-handed grid they come back turned round."""

    def dicoms(self, data: NDArray[np.integer], index: int) -> list[bytes]:
        return [self._slice(image, k, index) for k, image in enumerate(self._images(data, index))]

    def _slice(self, image: NDArray[np.integer], k: int, index: int) -> bytes:
        dataset = self._template
        dataset.PixelData = image.tobytes()
        dataset.InstanceNumber = index * self.shape[2] + k + 1
        dataset.TemporalPositionIdentifier = index + 1
        dataset.InStackPositionNumber = k + 1
        dataset.ImagePositionPatient = self._position(k)
        return written(dataset, f"{self.uid}.{dataset.InstanceNumber}")

    @cached_property
    def _template(self) -> Dataset:
        """All elements that the slices of the series have in common."""
        dataset = self._begun(MRImageStorage, _SCANNER, self._sequence(), self._plane(), self._scale())
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "EPI", "NONE"]
        dataset.ScanningSequence = ["EP", "GR"]
        dataset.ScanOptions = ["EPI_GEMS"]
        dataset.AcquisitionNumber = 1
        dataset.ImagesInAcquisition = self.shape[2]
        dataset.NumberOfTemporalPositions = self.volumes
        dataset.AcquisitionMatrix = self._matrix()
        dataset.ComplexImageComponent = "PHASE" if "P" in self.image_type else "MAGNITUDE"
        if self.phase_sign is not None:
            dataset.RectilinearPhaseEncodeReordering = ("LINEAR", "REVERSE_LINEAR")[self.phase_sign]
        dataset.private_block(0x0021, "GEMS_RELA_01", create=True).add_new(0x4F, "SS", self.shape[2])
        if self.echoes is not None:
            dataset.private_block(0x0019, "GEMS_ACQU_01", create=True).add_new(0x7E, "SS", self.echoes)
        self._parameters(dataset)
        self._protocol(dataset)
        return dataset

    def _parameters(self, dataset: Dataset) -> None:
        """Add echo spacing in whole microseconds, which count from one of an even number of lines to the next."""
        block = dataset.private_block(0x0043, "GEMS_PARM_01", create=True)
        if self.bandwidth is not None and self.steps > 1:
            lines = math.ceil(self.steps / 2) * 2
            spacing = 1e6 / (self.bandwidth * self.steps)
            block.add_new(0x2C, "SS", round(spacing * (self.steps - 1) / (lines - 1)))
        block.add_new(0x7C, "FL", 0.0)  # delay after a volume
        block.add_new(0x83, "DS", ["1", "1"])  # no acceleration

    def _protocol(self, dataset: Dataset) -> None:
        """Add the protocol block of the order of acquisition that gives the slice times, where there is one."""
        wanted = self.slice_timing()
        if wanted is None:
            return
        series = dataset.private_block(0x0025, "GEMS_SERS_01", create=True)
        for content in _blocks(wanted):
            series.add_new(0x1B, "OB", content)
            told = ge.timing(dataset, self.shape[2], descending=False)
            if told is not None and np.abs(np.array(told) - wanted).max() <= _SAME_TIME:
                return
        del dataset[series.get_tag(0x1B)]


def _blocks(timing: NDArray[np.float64]) -> Iterator[bytes]:
    """Yield a protocol block for each order in which slices could be acquired, as many at once as `timing` has."""
    bands = max(1, len(timing) // len(np.unique(np.round(timing, 4))))
    for order in (0, 1):
        lines = ('IOPT "EPI, FMRI"', f'SLICEORDER "{order}"', f'MBACCEL "{bands}"', f'NOSLC "{len(timing)}"', 'DELACQ "0"')
        yield _block("\n".join(lines) + "\n")


def _block(text: str) -> bytes:
    """Pack a protocol block: its length, then gzip, whose own end must be that of the element, which is even."""
    packed = gzip.compress(text.encode(), mtime=0)
    return struct.pack("<I", len(packed)) + packed if len(packed) % 2 == 0 else _block(text + "\n")


_SCANNER: dict[str, object] = {
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "SoftwareVersions": ["27", "LX", "MR Software release:DV26.0_R01_1725.a"],
    "AcquisitionTime": "100000.000000",  # as the vendor has it: when the run began, in every image
    "ContentTime": "100000.000000",
    "StackID": "1",
}
