"""Take what identifies a person out of DICOM files, and leave what fMRI needs."""
