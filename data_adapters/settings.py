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


def require_at_most(settings: object, section: str = "", **limits: float) -> None:
    """Check upper limits of sizes, so that settings from elsewhere cannot claim any amount of memory or time.

    Args:
        settings: Their dataclass.
        section: Its name in messages, with a dot at the end.
        **limits: Largest value of each field, or of each of its values.

    Raises:
        ValueError: a value is larger.
    """
    for name, limit in limits.items():
        found = getattr(settings, name)
        values = found if isinstance(found, list | tuple) else [found]
        require(all(value <= limit for value in values), section + name, found, f"at most {limit}")


def require_same(configs: Sequence[object], *names: str) -> None:
    """Check that the members of an ensemble have the same value of each of these settings.

    Raises:
        ValueError: the first setting that differs, in the form of `require`.
    """
    for name in names:
        values = [getattr(config, name) for config in configs]
        differing = next((value for value in values if value != values[0]), values[0])
        require(differing == values[0], name, differing, f"{values[0]!r} as in the first member")
