from dataclasses import replace

import numpy as np
import pytest

from transect.apps.pde.config import Config, State
from transect.apps.pde.fitting import Moments, fit
from transect.apps.pde.kinds import check_kind, kind_of
from transect.data_adapters.base import BadInput
from transect.data_adapters.pde.config import Field
from transect.data_adapters.pde.simulation import Coordinate

VELOCITY = Field("velocity", ("vx", "vy"), "m/s")
PRESSURE = Field("pressure", ("p",), "Pa")


def test_scales_are_those_of_the_values_and_of_their_changes(simulation, cases):
    generator = np.random.default_rng(0)
    values = generator.normal(size=(4, 2, 3, 50)) * np.array([1, 3, 0.01])[:, None] + np.array([1e4, -2, 5])[:, None]
    values[0, 0, 1, :10] = np.nan
    actual = fit(
        cases(4),
        lambda case: simulation(values[int(case.member)], [PRESSURE, VELOCITY]),
        Config(),
    )
    mean = np.nanmean(values, (0, 1, 3))
    variance, change = np.nanvar(values, (0, 1, 3)), np.nanvar(np.diff(values, axis=1), (0, 1, 3))
    # The two components of the velocity share one deviation.
    std, change_std = (np.sqrt([one[0], one[1:].mean(), one[1:].mean()]) for one in (variance, change))
    np.testing.assert_allclose([scale.mean for scale in actual.scales], mean, rtol=1e-5)
    np.testing.assert_allclose([scale.std for scale in actual.scales], std, rtol=1e-3)
    np.testing.assert_allclose(actual.changes, change_std / std, rtol=1e-3)
    assert (actual.fields, actual.axes, actual.time_step, actual.time_units) == ((PRESSURE, VELOCITY), ("x",), 1.0, "s")


def test_a_large_mean_takes_nothing_from_a_small_deviation():
    moments = Moments(1)
    generator = np.random.default_rng(1)
    parts = [1e6 + generator.normal(size=(1, size)) for size in (7, 1000, 1)]
    for part in parts:
        moments.add(part)
    (scale,) = moments.scales()
    every = np.concatenate(parts, 1)
    assert scale.mean == pytest.approx(every.mean(), rel=1e-15)
    assert scale.std == pytest.approx(every.std(), rel=1e-9)


def test_what_does_not_vary_has_a_deviation_of_one(simulation, cases):
    actual = fit(cases(2), lambda case: simulation(np.full((3, 1, 8), 0.1)), Config())
    assert [scale.std for scale in actual.scales] == [1.0]


def test_parameters_and_constants_are_scaled(simulation, cases):
    def read(case):
        number = float(case.member)
        more = {
            "parameters": {"Nu": np.array(number), "other": np.array(7.0)},
            "constants": {"depth": np.full(8, 10 + 2 * number, np.float32)},
        }
        return simulation(np.random.default_rng(0).normal(size=(3, 1, 8)), **more)

    actual = fit(cases(3), read, Config(parameters=("Nu",), constants=True))
    assert actual.constant_names == ("depth",)
    (nu,), (depth,) = actual.parameter_scales, actual.constant_scales
    assert (nu.mean, nu.std) == pytest.approx((1, np.sqrt(2 / 3)))
    assert (depth.mean, depth.std) == pytest.approx((12, np.sqrt(8 / 3)))
    assert fit(cases(3), read, Config()).constant_names == ()
    with pytest.raises(BadInput, match=r"made.nc: parameters: found Nu, other, expected Re"):
        fit(cases(3), read, Config(parameters=("Re",)))


def test_data_sets_of_several_kinds_are_not_held_to_one(simulation, cases):
    every = [*cases(2, "a"), *cases(2, "b")]

    def read(case, other="p"):
        name = other if case.id.startswith("b") else "u"
        return simulation(np.random.default_rng(0).normal(size=(3, 1, 8)), [Field(name, (name,))])

    assert fit(every, read, Config()) == State()
    assert fit(every, lambda case: read(case, "u"), Config()).fields == (Field("u", ("u",)),)
    with pytest.raises(BadInput, match="fields: found p, expected u"):
        fit([replace(case, dataset="") for case in every], read, Config())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fields": [Field("p", ("p",), "m"), VELOCITY]}, r"fields: found p, velocity \(vx, vy\), expected velocity"),
        ({"fields": [VELOCITY, Field("pressure", ("p",), "hPa")]}, "units of pressure: found hPa, expected Pa"),
        ({"time": Coordinate("time", np.arange(3) * 2.0, "s")}, "time step: found 2 s, expected 1 s"),
        ({"time": Coordinate("time", np.arange(3) * 1.0, "h")}, "time step: found 1 h, expected 1 s"),
        ({"time": Coordinate("time", np.array([0, 1, 3.0]), "s")}, "a step of 2 after frame 1, expected steps of 1 s"),
    ],
)
def test_another_kind_is_refused_by_what_differs(simulation, changed, said):
    kind = kind_of(simulation(np.zeros((3, 3, 8)), [VELOCITY, PRESSURE]))
    with pytest.raises(BadInput, match=said):
        check_kind(simulation(np.zeros((3, 3, 8)), **{"fields": [VELOCITY, PRESSURE], **changed}), kind)


def test_another_rank_is_refused_and_another_grid_or_origin_of_time_is_not(simulation):
    days = Coordinate("time", np.arange(3) * 1.0, "days since 1980-01-01")
    kind = kind_of(simulation(np.zeros((3, 1, 8)), time=days))
    with pytest.raises(BadInput, match="spatial axes: found x, y, expected x"):
        check_kind(simulation(np.zeros((3, 1, 8, 8)), time=days), kind)
    later = Coordinate("time", np.arange(3) + 9.0, "days since 1999-01-01")
    check_kind(simulation(np.zeros((3, 1, 16)), time=later), kind)
    check_kind(simulation(np.zeros((1, 1, 8)), time=Coordinate("time", np.zeros(1), "")), kind)
