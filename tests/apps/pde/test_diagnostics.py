import numpy as np
import pytest

from transect.apps.pde.diagnostics import energy_spectrum, spectrum_error, time_to_failure
from transect.data_adapters.pde.simulation import Axis

PERIODIC = ("periodic", "periodic")


def axis(length: int, extent: float = 1.0, boundary: tuple = PERIODIC, units: str = "m") -> Axis:
    return Axis("x", (np.arange(length) + 0.5) * extent / length, units, boundary=boundary)


@pytest.mark.parametrize("shape", [(48,), (24, 16), (12, 16, 20)])
def test_one_mode_has_all_energy_in_its_shell(shape: tuple[int, ...]) -> None:
    axes = [axis(length) for length in shape]
    first = axes[0].values.reshape(-1, *[1] * (len(shape) - 1))
    wave = np.broadcast_to(1.5 + 2 * np.sin(2 * np.pi * 5 * first), shape)
    energy = energy_spectrum(wave, np.isfinite(wave), axes)
    expected = np.zeros(min(shape) // 2 + 1)
    expected[0], expected[5] = 1.5**2 / 2, 2**2 / 4
    np.testing.assert_allclose(energy, expected, atol=1e-14)


def test_energies_sum_to_half_the_mean_square() -> None:
    values = np.random.default_rng(0).normal(3, 2, (4, 2, 51))
    energy = energy_spectrum(values, np.isfinite(values), [axis(51)])
    np.testing.assert_allclose(energy.sum(-1), (values**2).mean(-1) / 2, rtol=1e-13)


def test_shells_are_of_wave_numbers_along_the_longest_axis_where_units_agree() -> None:
    long, short = axis(32, extent=4.0), axis(16, extent=2.0)
    wave = np.broadcast_to(np.cos(2 * np.pi * 3 * short.values / 2.0), (32, 16))
    energy = energy_spectrum(wave, np.isfinite(wave), [long, short])
    assert energy.argmax() == 6
    other = energy_spectrum(wave, np.isfinite(wave), [long, axis(16, extent=2.0, units="degrees")])
    assert other.argmax() == 3
    np.testing.assert_allclose([energy[6], other[3]], 0.25)


def test_a_spectrum_in_two_dimensions_is_a_sum_over_a_naive_transform() -> None:
    values = np.random.default_rng(1).normal(size=(8, 6))
    expected = np.zeros(4)
    i, j = np.meshgrid(np.arange(8), np.arange(6), indexing="ij")
    for a in range(-4, 4):
        for b in range(-3, 3):
            coefficient = (values * np.exp(-2j * np.pi * (a * i / 8 + b * j / 6))).mean()
            shell = round(float(np.hypot(a, b)))
            if shell < 4:
                expected[shell] += abs(coefficient) ** 2 / 2
    np.testing.assert_allclose(energy_spectrum(values, np.isfinite(values), [axis(8), axis(6)]), expected, rtol=1e-12)


def test_an_open_axis_is_tapered_so_that_its_ends_make_no_false_small_scales() -> None:
    ramp = np.linspace(0, 1, 64)
    known = np.isfinite(ramp)
    wrapped = energy_spectrum(ramp, known, [axis(64)])
    tapered = energy_spectrum(ramp, known, [axis(64, boundary=("open", "wall"))])
    assert tapered[16:].sum() < 1e-4 * wrapped[16:].sum()
    noise = np.random.default_rng(2).normal(size=(2000, 64))
    energy = energy_spectrum(noise, np.isfinite(noise), [axis(64, boundary=("open", "open"))])
    assert energy[:, 1:].sum(-1).mean() == pytest.approx((noise**2).mean() / 2, rel=0.05)


def test_cells_without_values_do_not_count() -> None:
    generator = np.random.default_rng(3)
    values, valid = generator.normal(2, 1, (16, 16)), generator.random((16, 16)) > 0.3
    elsewhere = np.where(valid, values, np.nan)
    axes = [axis(16), axis(16)]
    np.testing.assert_array_equal(energy_spectrum(values, valid, axes), energy_spectrum(elsewhere, valid, axes))
    assert energy_spectrum(np.full((16, 16), 3.0), valid, axes)[1:].max() < 1e-25
    assert energy_spectrum(values, valid, axes)[0] == pytest.approx(values[valid].mean() ** 2 / 2)


def test_spectrum_error_is_in_decades() -> None:
    truth = np.array([5.0, 1.0, 1e-3, 1e-5])
    assert spectrum_error(truth, truth) == 0
    assert spectrum_error(truth * [100, 10, 10, 10], truth) == pytest.approx(1, rel=1e-2)
    assert spectrum_error(truth * [1, 1, 0.1, 1], truth) == pytest.approx(3**-0.5, rel=1e-4)
    assert np.isnan(spectrum_error(truth[:1], truth[:1]))


def test_spectrum_error_is_blind_to_noise_below_what_float32_resolves() -> None:
    fluctuations = np.array([0.5 * 1e5**2, 1e-3, 1e-12, 0.0])
    assert spectrum_error(fluctuations + np.array([0, 0, 1e-8, 1e-8]), fluctuations) < 0.01
    assert spectrum_error(fluctuations[1:] + np.array([0, 1e-8, 1e-8]), fluctuations[1:]) > 1
    assert spectrum_error(fluctuations + np.array([0, 0, 0, 1e-2]), fluctuations) > 1


def test_failure_is_the_first_step_with_a_large_error_or_a_low_correlation() -> None:
    low, high = np.full(5, 0.1), np.full(5, 0.99)
    assert time_to_failure(low, high) is None
    assert time_to_failure(np.array([0.1, 0.2, 0.3, 0.1, 0.4]), high) == 3
    assert time_to_failure(low, np.array([0.99, 0.79, 0.99, 0.99, 0.99])) == 2
    assert time_to_failure(np.array([np.nan, 0.1, np.inf]), np.array([np.nan, np.nan, np.nan])) == 3
