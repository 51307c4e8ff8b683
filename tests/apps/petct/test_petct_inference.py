"""Prediction of whole studies, what a model keeps of its training, splits and ensembles."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.apps.petct.studies import a_case, a_study, small
from transect.apps.petct.config import Calibration, SplitConfig, State
from transect.apps.petct.inference import slice_logits
from transect.apps.petct.models.build import build
from transect.apps.petct.prepare import prepare, with_neighbours
from transect.apps.petct.splits import split_units
from transect.apps.petct.training_data import compared, learned, merged
from transect.data_adapters.base import BadInput
from transect.pipelines.splits import with_splits

VALUES = np.random.default_rng(0).random((32, 32, 11), np.float32) * 25


@pytest.mark.parametrize("name", ["resnet18", "slice_context"])
@pytest.mark.parametrize("neighbours", [0, 2])
@pytest.mark.parametrize("batch", [3, 11, 50])
def test_a_study_in_batches_is_that_of_one_pass(name, neighbours, batch):
    torch.manual_seed(0)
    config = small(name, neighbours=neighbours)
    config = type(config)(**{**config.__dict__, "slices_per_batch": batch})
    model, study, seen = build(config.model).eval(), a_study(VALUES), []
    found = slice_logits(model, study, config, seen.append)
    images = with_neighbours(prepare(study, config), 0, 11, neighbours)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)[None])[0]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 1e-4
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_slices_keep_their_order_in_bf16():
    """A logit near -40 has steps of 0.25 in bf16: slices would be alike."""
    torch.manual_seed(0)
    config = replace(small(), precision="bf16")
    model = build(config.model).eval()
    with torch.no_grad():
        model.fc.bias.fill_(-40.0)
    assert len(np.unique(slice_logits(model, a_study(VALUES), config))) == VALUES.shape[2]


def test_logits_that_are_not_finite_are_refused():
    model = build(small().model)
    with torch.no_grad():
        model.fc.weight.fill_(torch.nan)
    with pytest.raises(BadInput, match="study: prediction: found logits that are not finite"):
        slice_logits(model, a_study(VALUES), small())


def cases():
    return [
        a_case("p1-a", centre="north", split="train"),
        a_case("p1-b", centre="south"),
        a_case("p2", centre="south"),
        a_case("p3", centre="north", split="test"),
    ]


def test_a_split_of_patients_keeps_cases_as_they_are():
    assert split_units(cases(), SplitConfig()) == cases()


def test_a_split_of_centres_leaves_one_out():
    units = split_units(cases()[:3], SplitConfig("centre"))
    assert [unit.group for unit in units] == ["north", "south", "south"]
    assert [unit.patient for unit in units] == ["p1-a", "p1-b", "p2"]
    folds = [with_splits(units, 0.01, 0, fold) for fold in (0, 1)]
    held_out = [{case.centre for case in fold if case.split == "val"} for fold in folds]
    assert sorted(map(tuple, held_out)) == [("north",), ("south",)]
    with pytest.raises(BadInput, match="centre: found none for lost"):
        split_units([*cases(), a_case("lost")], SplitConfig("centre"))


def test_the_studies_of_one_centre_can_be_chosen():
    assert [case.id for case in split_units(cases(), SplitConfig(centre="north"))] == ["p1-a", "p3"]
    with pytest.raises(BadInput, match=r"split\.centre: found west, expected one of north, south"):
        split_units(cases(), SplitConfig(centre="west"))


def test_a_split_of_slices_divides_each_study_and_warns_that_it_overestimates(caplog):
    units = split_units(cases(), SplitConfig("slice"))
    assert "overestimates" in caplog.text
    assert len(units) == len({unit.id for unit in units}) == 16
    (whole,) = [unit for unit in units if unit.part is None]
    assert (whole.id, whole.split) == ("p3", "test")
    divided = with_splits(units, 0.2, 0)
    splits = {case.split for case in divided if case.patient == "p1-a"} | {
        case.split for case in divided if case.patient == "p2"
    }
    assert splits == {"train", "val"}
    counted = [a_study(VALUES, part=unit.part).counted for unit in units if unit.patient == "p2"]
    assert np.sum(counted, axis=0).tolist() == [1] * 11


def trained_on(*studies, patients=("p1",)) -> State:
    return learned(studies, patients)


def test_a_study_unlike_those_of_training_is_described():
    state = trained_on(
        a_study(VALUES, tracer="FDG", centre="north"), a_study(VALUES, spacing=(4.0, 4.0, 4.0), centre="south")
    )
    assert state.slice_distance == (3.0, 4.0)
    assert state.field_of_view == (128.0, 128.0)
    assert compared(a_study(VALUES, tracer="FDG", centre="north", patient="p9"), state) == []
    assert compared(a_study(VALUES), state) == []
    assert compared(a_study(VALUES, tracer="PSMA"), state) == ["tracer PSMA, in the training data FDG"]
    assert compared(a_study(VALUES, centre="west"), state) == ["note: no training study is from west"]
    thick, small_field = a_study(VALUES, spacing=(4.0, 4.0, 6.5)), a_study(VALUES, spacing=(2.0, 2.0, 3.0))
    assert compared(thick, state) == ["slices 6.5 mm apart, in the training data 3 to 4 mm"]
    assert compared(small_field, state) == ["slices 64 mm wide, in the training data 128 mm"]
    (line,) = compared(a_study(VALUES, patient="p1"), state)
    assert line.startswith("the model was trained on this patient")
    assert compared(a_study(VALUES, tracer="PSMA", centre="west"), State()) == []


def test_the_state_names_no_patient_and_that_of_an_ensemble_is_that_of_all_members():
    first = trained_on(a_study(VALUES, tracer="FDG"), patients=["Doe", "Roe"])
    second = trained_on(a_study(VALUES, tracer="PSMA", spacing=(4.0, 4.0, 9.0)), patients=["Roe"])
    assert all(len(name) == 8 and set(name) <= set("0123456789abcdef") for name in first.patients)
    both = merged([first, State(**{**second.__dict__, "calibration": Calibration(3.0, 1.0)})], 0.25)
    assert both.patients == first.patients
    assert (both.tracers, both.slice_distance, both.threshold) == (("FDG", "PSMA"), (3.0, 9.0), 0.25)
    assert both.calibration == Calibration()  # the averaged probabilities are calibrated already
