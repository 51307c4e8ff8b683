"""Studies in memory."""

from collections.abc import Callable

import numpy as np
import pytest

from transect.apps.petct.calibration import probability
from transect.apps.petct.config import Calibration
from transect.data_adapters.petct.scores import SliceScores
from transect.data_adapters.petct.study import Study, TumourLabel
from transect.data_adapters.volume.volume import Grid, Volume

SPACING = (4.0, 5.0, 3.0)


@pytest.fixture
def study() -> Callable[..., Study]:
    """Makes a study of an empty body, or of given SUV, with a tumour where a mask says so."""

    def make(mask=None, values=None, positive=None, spacing=SPACING, **fields) -> Study:
        shape = np.shape(mask if values is None else values)
        values = np.ones(shape, np.float32) if values is None else np.asarray(values, np.float32)
        affine = np.diag([*spacing, 1.0])
        label = None
        if mask is not None:
            mask = np.asarray(mask, np.uint8)
            label = TumourLabel(mask, mask.any(axis=(0, 1)) if positive is None else np.asarray(positive))
        volume = Volume(values, Grid((shape[0], shape[1], shape[2]), affine), "study")
        positions = np.arange(shape[2]) * spacing[2]
        return Study(volume, positions, read_label=lambda: label, **fields)

    return make


@pytest.fixture
def scores() -> Callable[..., SliceScores]:
    """Makes the prediction for a study from logits."""

    def make(study: Study, logit, threshold=0.5) -> SliceScores:
        logit = np.asarray(logit, np.float64)
        return SliceScores(study, probability(Calibration(), logit), threshold, logit)

    return make
