"""Validation of settings: the message, and the cost of the import."""

import re
import subprocess
import sys

import pytest

from transect.data_adapters.change_detection.config import ReadConfig as RasterConfig
from transect.data_adapters.pde.config import PhantomConfig
from transect.data_adapters.peptide.config import ReadConfig as SpectraConfig
from transect.data_adapters.settings import require

nan = float("nan")


def test_the_message_names_the_setting_its_value_and_what_is_expected():
    require(True, "model.dim", 32, "a multiple of 32")
    with pytest.raises(ValueError, match=r"^model\.name: found 'resnet', expected one of \('unet',\)$"):
        require(False, "model.name", "resnet", f"one of {('unet',)}")


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (RasterConfig, {"bands": []}, "read.bands: found [], expected band numbers counted from 1, or names of bands"),
        (
            RasterConfig,
            {"bands": [0]},
            "read.bands: found [0], expected band numbers counted from 1, or names of bands",
        ),
        (PhantomConfig, {"points": 15}, "points: found 15, expected 16 or more"),
        (PhantomConfig, {"frames": 1}, "frames: found 1, expected 2 or more"),
        (SpectraConfig, {"top": 0}, "top: found 0, expected 1 or more"),
        (SpectraConfig, {"isotopes": -1}, "isotopes: found -1, expected 0 or more"),
        (SpectraConfig, {"precursor_tolerance_ppm": nan}, "precursor_tolerance_ppm: found nan, expected 0.001 or more"),
    ],
)
def test_what_adapters_refuse(config, values, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config(**values)


@pytest.mark.parametrize("adapter", ["change_detection", "liver_mri", "pde", "peptide", "volume"])
def test_settings_import_neither_numpy_nor_torch(adapter):
    code = f"import sys, transect.data_adapters.{adapter}.config; print({{'numpy', 'torch'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
