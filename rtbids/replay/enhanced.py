"""Enhanced multi-frame DICOM as Siemens XA writes it: one file a volume, one frame a slice.

What Siemens keeps to itself stands in a private item of every frame (SIEMENS MR SDI 02): when the slice was measured, sign and
bandwidth of the phase encoding, and the counters of the reconstruction ("ICE dims") that tell how many slices there are.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, PrivateBlock
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from rtbids.replay.series import DATE, Series, decimal, set_elements, time_of_day, written

_SDI, _SDS = "SIEMENS MR SDI 02", "SIEMENS MR SDS 01"


class EnhancedSeries(Series):
    """A series of multi-frame images, frames in order of depth: of a right-handed grid the slices come back turned round."""

    def dicoms(self, data: NDArray[np.integer], index: int) -> list[bytes]:
        dataset = self._template
        dataset.PixelData = self._images(data, index)[self._upwards].tobytes()
        dataset.InstanceNumber = dataset.AcquisitionNumber = index + 1
        dataset.AcquisitionDateTime = DATE + time_of_day(index * self.repetition_time)
        for frame, k in zip(dataset.PerFrameFunctionalGroupsSequence, self._upwards, strict=True):
            self._move_on(frame, k, index)
        return [written(dataset, f"{self.uid}.{index + 1}")]

    @cached_property
    def _upwards(self) -> list[int]:
        """The slices in order of their depth along the normal, which is how every reader takes frames."""
        against = np.linalg.det(self._lps[:3, :3]) < 0
        return list(range(self.shape[2]))[:: -1 if against else 1]

    def _move_on(self, frame: Dataset, k: int, index: int) -> None:
        """Give the frame of slice `k` the times and counters of volume `index`."""
        content = frame.FrameContentSequence[0]
        content.TemporalPositionIndex = index + 1
        content.DimensionIndexValues = [1, content.InStackPositionNumber, index + 1]
        private = _siemens(_siemens(frame)[0xFE].value[0])
        private[0x8E].value = f"X_1_1_1_1_1_1_1_1_1_1_1_1_1_1_1_1_{self.volumes or 1}_{index + 1}_1_{self.shape[2]}_1_1"
        if (timing := self.slice_timing()) is not None:
            content.FrameAcquisitionDateTime = DATE + time_of_day(index * self.repetition_time + timing[k])

    @cached_property
    def _template(self) -> Dataset:
        """All elements that the volumes of the series have in common."""
        dataset = self._begun(EnhancedMRImageStorage, _SCANNER, {"NumberOfFrames": self.shape[2]})
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "FMRI", "NONE"]
        dataset.ComplexImageComponent = "PHASE" if "P" in self.image_type else "MAGNITUDE"
        dataset.NumberOfTemporalPositions = self.volumes
        dataset.EchoNumbers = str(self.echo) if self.echo > 1 else None
        organization = f"{self.uid}.0"
        dataset.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization)]
        dataset.DimensionIndexSequence = [
            _item(DimensionOrganizationUID=organization, DimensionIndexPointer=pointer, FunctionalGroupPointer=0x00209111)
            for pointer in (0x00209056, 0x00209057, 0x00209128)  # stack, place in the stack, place in time
        ]
        dataset.SharedFunctionalGroupsSequence = [self._shared()]
        dataset.PerFrameFunctionalGroupsSequence = [self._frame(k, place) for place, k in enumerate(self._upwards, start=1)]
        return dataset

    def _shared(self) -> Dataset:
        """Return the functional groups that all frames have in common."""
        scale = {"RescaleSlope": "1", "RescaleIntercept": "0", "RescaleType": "US", **self._scale()}
        shared = _item(
            MRImagingModifierSequence=[_item(PixelBandwidth="1565", TransmitterFrequency=123.25)],
            MRTimingAndRelatedParametersSequence=[self._timing()],
            MREchoSequence=[_item(EffectiveEchoTime=None if self.echo_time is None else self.echo_time * 1000)],
            MRFOVGeometrySequence=[self._field_of_view()],
            MRImageFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "FMRI", "NONE"])],
            PixelMeasuresSequence=[_item(**self._measures())],
            PixelValueTransformationSequence=[_item(**scale)],
        )
        if self.echoes is not None:
            protocol = Dataset()
            text = self._protocol_text().encode()
            protocol.private_block(0x0021, _SDS, create=True).add_new(0x19, "OB", text + bytes(len(text) % 2))
            shared.private_block(0x0021, _SDS, create=True).add_new(0xFE, "SQ", Sequence([protocol]))
        return shared

    def _timing(self) -> Dataset:
        return _item(
            RepetitionTime=decimal(self.repetition_time * 1000),
            FlipAngle=None if self.flip_angle is None else decimal(self.flip_angle),
            EchoTrainLength="64",
            RFEchoTrainLength=0,
            GradientEchoTrainLength=64,
        )

    def _field_of_view(self) -> Dataset:
        return _item(
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
            InPlanePhaseEncodingDirection={"i": "ROW", "j": "COLUMN", None: "OTHER"}[self.phase_axis],
            MRAcquisitionFrequencyEncodingSteps=self.shape[0],
            MRAcquisitionPhaseEncodingStepsInPlane=self.steps,
        )

    def _frame(self, k: int, place: int) -> Dataset:
        """Return what is said of slice `k`, its orientation too: without it in each frame dcm2niix makes no run of files."""
        frame = _item(
            FrameContentSequence=[_item(StackID="1", InStackPositionNumber=place, FrameAcquisitionNumber=1)],
            PlanePositionSequence=[_item(ImagePositionPatient=self._position(k))],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=self._orientation())],
        )
        _siemens(frame).add_new(0xFE, "SQ", Sequence([self._private(k)]))
        return frame

    def _private(self, k: int) -> Dataset:
        """Return what Siemens says of slice `k` in its own elements."""
        item = Dataset()
        block = _siemens(item)
        if (timing := self.slice_timing()) is not None:
            block.add_new(0x04, "DS", decimal(timing[k]))
        if self.phase_sign is not None:
            block.add_new(0x1C, "IS", str(self.phase_sign))
        if self.bandwidth is not None:
            block.add_new(0x53, "FD", self.bandwidth)
        block.add_new(0x75, "CS", ["ORIGINAL", "PRIMARY", *self.image_type])
        block.add_new(0x8E, "ST", "")
        return item


def _siemens(dataset: Dataset) -> PrivateBlock:
    """Return the vendor's block, made where it is not there yet, under the number that dcm2niix expects."""
    dataset.add_new((0x0021, 0x0011), "LO", _SDI)
    return dataset.private_block(0x0021, _SDI)


def _item(**elements: object) -> Dataset:
    item = Dataset()
    set_elements(item, elements)
    return item


_SCANNER: dict[str, object] = {
    "Manufacturer": "Siemens Healthineers",
    "SoftwareVersions": "syngo MR XA30",
    "MRAcquisitionType": "2D",
    "PulseSequenceName": "epfid2d1_64",
    "EchoPulseSequence": "GRADIENT",
    "EchoPlanarPulseSequence": "YES",
    "MultiPlanarExcitation": "NO",
    "ResonantNucleus": "1H",
    "PixelPresentation": "MONOCHROME",
    "VolumetricProperties": "VOLUME",
    "VolumeBasedCalculationTechnique": "NONE",
    "AcquisitionContrast": "UNKNOWN",
    "ContentTime": "100000.000000",
}
