"""Colours of classes and of text and lines, in every picture."""

Colour = tuple[int, int, int]

CLASS_COLOURS: dict[str, Colour] = {
    "road": (86, 133, 204),
    "lane": (0, 137, 132),
    "road_divider": (0, 137, 132),
    "lane_divider": (72, 178, 160),
    "vehicle": (232, 89, 12),
}
"""RGB by class, in the order in which they are drawn."""

OTHER_COLOUR: Colour = (126, 62, 168)
"""Of boxes that are no vehicles, and of classes without a colour of their own."""

WHITE: Colour = (255, 255, 255)
INK: Colour = (32, 32, 32)
SOFT: Colour = (106, 106, 106)
FAINT: Colour = (212, 212, 212)
GROUND: Colour = (244, 244, 242)


MAP_OPACITY = {"road": 0.5}
"""Of areas on the map that others lie on."""


def colour_of(name: str) -> Colour:
    """The colour of a class."""
    return CLASS_COLOURS.get(name, OTHER_COLOUR)
