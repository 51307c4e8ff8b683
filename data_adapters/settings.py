"""Validation of settings; imports nothing, so that `--help` stays fast."""

from collections.abc import Sequence


def require(holds: bool, name: str, found: object, expected: str) -> None:
    """Check one condition on a setting; called from `__post_init__` of its dataclass.

    Args:
        holds: Whether the value is allowed. Written so that NaN fails, such as `x > 0` rather than `not x <= 0`.
        name: Name of the setting as a user gives it, such as `model.dim`.
        found: Its value.
        expected: Which values are allowed, such as "a multiple of 32".

    Raises:
        ValueError: `holds` is False; the message has the form "model.dim: found 30, expected a multiple of 32".
    """
    if not holds:
        raise ValueError(f"{name}: found {found!r}, expected {expected}")


def require_same(configs: Sequence[object], *names: str) -> None:
    """Check that the members of an ensemble have the same value of each of these settings.

    Raises:
        ValueError: the first setting that differs, in the form of `require`.
    """
    for name in names:
        values = [getattr(config, name) for config in configs]
        differing = next((value for value in values if value != values[0]), values[0])
        require(differing == values[0], name, differing, f"{values[0]!r} as in the first member")
