"""PlanetScope scenes: `*_AnalyticMS*.tif` of 4 or 8 bands, their usable data mask and their metadata.

Surface reflectance is stored in steps of 1e-4. Other images are radiance, to which the metadata (`*_metadata.xml`) has
the `reflectanceCoefficient` of each band (Planet, PlanetScope Product Specifications).
"""

import re
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import vrt
from transect.data_adapters.change_detection.dates import acquisition_date, file_name
from transect.data_adapters.change_detection.product import Quality
from transect.data_adapters.change_detection.products.found import Band, Found
from transect.data_adapters.change_detection.products.sensors import SENSORS
from transect.data_adapters.change_detection.products.tree import sibling

LARGEST_XML = 4 << 20
SURFACE = (1e-4, 0.0)

_NAME = re.compile(
    r"(?P<scene>.*_3[AB])_AnalyticMS(?P<surface>_SR)?(?P<eight>_8b)?(?:_harmonized)?(?P<clip>_clip)?(?:_.*)?$"
)


def scene_of(path: str) -> str:
    """The scene of an image, or an empty string if it is none of PlanetScope."""
    match = _NAME.match(PurePosixPath(file_name(path)).stem)
    return match["scene"] if match else ""


def found_image(path: str) -> Found:
    """The scene of an image.

    Raises:
        BadInput: its mask or its metadata cannot be used.
    """
    match = _NAME.match(PurePosixPath(file_name(path)).stem)
    assert match is not None
    scene, clip, eight = match["scene"], match["clip"] or "", match["eight"] or ""
    udm2 = sibling(path, (f"{scene}_udm2{clip}.tif", f"{scene}_udm2.tif"))
    sensor = "PlanetScope 8-band" if eight else "PlanetScope 4-band"
    numbers = {name: int(own) for name, own in SENSORS[sensor].items()}
    metadata, scales = "", dict.fromkeys(numbers.values(), SURFACE)
    if not match["surface"]:
        stem = f"{scene}_AnalyticMS{eight}_metadata"
        metadata = sibling(path, (f"{stem}{clip}.xml", f"{stem}.xml"))
        scales = _coefficients(Path(metadata)) if metadata else {}
    return Found(
        name=scene,
        sensor=sensor,
        bands={name: Band(path, number, scales.get(number)) for name, number in numbers.items()},
        date=acquisition_date(path),
        level="surface" if match["surface"] else "top of atmosphere",
        quality=Quality(udm2, "udm2") if udm2 else None,
        note=f"{scene}: radiance, since there is no metadata.xml with reflectanceCoefficient next to it",
        metadata=(metadata,) if metadata else (),
    )


def _coefficients(metadata: Path) -> dict[int, tuple[float, float]]:
    """Factor and offset to reflectance by the number of the band."""
    scales = {}
    for element in vrt.parse(metadata, LARGEST_XML).iter():
        if element.tag.rpartition("}")[2] == "bandSpecificMetadata":
            values = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
            try:
                scales[int(values["bandNumber"])] = (float(values["reflectanceCoefficient"]), 0.0)
            except (KeyError, ValueError):
                found = values.get("reflectanceCoefficient") or "none"
                raise BadInput(metadata, "reflectanceCoefficient", found, "a number for each band") from None
    return scales
