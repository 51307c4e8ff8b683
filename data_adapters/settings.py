"""Validation of settings; imports nothing, so that `--help` stays fast."""


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
