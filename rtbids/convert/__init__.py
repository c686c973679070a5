"""DICOM to BIDS-I, in process, agreeing with dcm2niix."""
