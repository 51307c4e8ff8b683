"""PET/CT studies in, and the probability of tumour of each axial slice out."""
