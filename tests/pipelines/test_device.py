"""`--device`: valid names, available devices, and the device of a loaded model."""

import pytest
import torch

from transect.pipelines import model_folder
from transect.pipelines.device import choose
from transect.pipelines.errors import UsageError

COMMANDS = {
    "train": ("change_detection", "--data", "nowhere"),
    "evaluate": ("model", "--data", "nowhere", "--out", "out"),
    "predict": ("model", "nowhere", "--out", "out"),
    "serve": ("model",),
}


def test_auto_is_a_cuda_device_or_the_cpu():
    assert choose("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose("cpu") == torch.device("cpu")


def test_a_device_that_this_machine_does_not_have_is_refused():
    with pytest.raises(UsageError, match="--device: found cuda:99, expected one of auto, cpu"):
        choose("cuda:99")


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_that_computes_takes_a_device(verb, command, untrained):
    arguments = [untrained if word == "model" else word for word in COMMANDS[verb]]
    status, _, err = command(verb, *arguments, "--device", "gpu0")
    assert status == 2
    assert "--device: found 'gpu0', expected auto, cpu, cuda, cuda:1 or mps" in err
    status, _, err = command(verb, *arguments, "--device", "cuda:99")
    assert status == 2
    assert err.startswith("transect: --device: found cuda:99, expected one of auto, cpu")


def test_a_model_is_loaded_onto_its_device(untrained):
    assert model_folder.load(str(untrained), device="cpu").device == torch.device("cpu")
