"""Intake: whole DICOM files from a folder, as each becomes complete."""
