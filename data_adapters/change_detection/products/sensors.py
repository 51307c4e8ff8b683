"""The bands of each sensor by name.

Names are the common names of STAC's `eo` extension where it has one; swir16, swir22 and the like are aliases.
"""

SENSORS: dict[str, dict[str, str]] = {
    "Landsat 4-5 TM": {
        "blue": "B1", "green": "B2", "red": "B3", "nir": "B4", "swir1": "B5", "thermal": "B6", "swir2": "B7",
    },
    "Landsat 7 ETM+": {
        "blue": "B1", "green": "B2", "red": "B3", "nir": "B4", "swir1": "B5", "thermal": "B6_VCID_1",
        "thermal2": "B6_VCID_2", "swir2": "B7", "pan": "B8",
    },
    "Landsat 8-9 OLI": {
        "coastal": "B1", "blue": "B2", "green": "B3", "red": "B4", "nir": "B5", "swir1": "B6", "swir2": "B7",
        "pan": "B8", "cirrus": "B9", "thermal": "B10", "thermal2": "B11",
    },
    "Sentinel-2": {
        "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06",
        "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir1": "B11",
        "swir2": "B12",
    },
    "PlanetScope 4-band": {"blue": "1", "green": "2", "red": "3", "nir": "4"},
    "PlanetScope 8-band": {
        "coastal": "1", "blue": "2", "green1": "3", "green": "4", "yellow": "5", "red": "6", "rededge": "7",
        "nir": "8",
    },
}  # fmt: skip
"""By sensor: its bands by name, as the names of files have them, or as numbers in a file of all bands."""

NATURAL_COLOUR = ("red", "green", "blue")
"""The bands that the numbers 1, 2 and 3 mean in the folder of a product."""

THERMAL = ("thermal", "thermal2")

_ALIASES = {
    "swir16": "swir1", "swir22": "swir2", "rededge071": "rededge1", "rededge075": "rededge2", "rededge078": "rededge3",
    "lwir": "thermal", "lwir11": "thermal", "lwir12": "thermal2", "coastalblue": "coastal", "greeni": "green1",
    "green05": "green1", "nirnarrow": "nir08", "watervapor": "nir09", "panchromatic": "pan", "nearinfrared": "nir",
}  # fmt: skip


def band_name(text: str) -> str:
    """A band's name as the table has it: letters and digits in lower case, without aliases such as swir16."""
    name = "".join(filter(str.isalnum, text.lower()))
    return _ALIASES.get(name, name)


def names_of(sensor: str) -> dict[str, str]:
    """The names of a sensor's bands by the band's own, such as B4."""
    return {own: name for name, own in SENSORS[sensor].items()}
