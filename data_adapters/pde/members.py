"""What one file of simulations holds: its trajectories, told apart by a name of their own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One trajectory of a file.

    Args:
        name: tells it from the file's other trajectories; may be empty where the file holds a single one.
        split: "train", "val" or "test" where the layout's own rule says so, else empty.
    """

    name: str
    split: str = ""
