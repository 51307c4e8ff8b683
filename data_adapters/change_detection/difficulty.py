"""What makes a set of synthetic pairs easy or hard."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """What separates an easy set of pairs from a hard one.

    Args:
        changing: Range of the number of objects that are at one date only, without the upper end.
        passing: The same of ground patches at one date only that do not count as change, where only buildings count.
        standing: The same of those at both dates.
        built: Share of pairs that have any of these.
        largest: Length of the largest object, in pixels.
        season: Factor of the seasonal colour of vegetation and fields.
        shadow: Share of the light that a cast shadow takes.
        reach: Range of the length of a shadow, in pixels per unit of height.
        shift: Distance by which the first date is shifted, in pixels; None draws up to 1 along each axis.
    """

    changing: tuple[int, int] = (2, 25)
    passing: tuple[int, int] | None = None
    standing: tuple[int, int] = (0, 45)
    built: float = 0.7
    largest: float = 60
    season: float = 1.0
    shadow: float = 0.45
    reach: tuple[float, float] = (0.3, 1.5)
    shift: float | None = None


EASY = Difficulty()
HARD = Difficulty((30, 80), (20, 50), (30, 60), 1.0, 28, 8.0, 0.6, (1.0, 3.0), 1.0)
