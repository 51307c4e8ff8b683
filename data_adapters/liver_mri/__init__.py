"""Liver MRI: volumes with a label of the liver in, masks in NIfTI and DICOM out."""
