"""Sentinel-2 products: `.SAFE` folders and their zips (levels 1C and 2A), and plain band files.

Reflectance is (stored + offset) / quantification. The offset is -1000 since processing baseline 04.00 of January 2022,
and also in older scenes that were processed again; the metadata (`MTD_MSIL2A.xml`, `MTD_MSIL1C.xml`; until 2016
`S2A_OPER_MTD_SAFL1C_*.xml`) has it, and the product's name has the baseline (ESA, Sentinel-2 Products Specification
Document).
"""

import math
import re
from pathlib import Path, PurePosixPath

from transect.data_adapters.base import BadInput
from transect.data_adapters.change_detection import vrt
from transect.data_adapters.change_detection.dates import acquisition_date, file_name
from transect.data_adapters.change_detection.product import Level, Quality
from transect.data_adapters.change_detection.products.found import Band, Found
from transect.data_adapters.change_detection.products.sensors import SENSORS, names_of
from transect.data_adapters.change_detection.products.tree import Tree, sibling

SENSOR = "Sentinel-2"
LARGEST_XML = 16 << 20
QUANTIFICATION, OFFSET, OFFSET_SINCE = 10_000.0, -1000.0, 4.0

_PRODUCT = re.compile(r"S2[A-D]_MSIL(?P<level>1C|2A)_\d{8}T\d{6}_N(?P<baseline>\d{4})_R\d{3}_T\w{5}")
_METADATA = re.compile(r"(?:^|/)(?:S2[A-D]_\w{4}_)?MTD_(?:MSI|SAF)L(?P<level>1C|2A)(?:_\w+)?\.xml$")
_IMAGE = re.compile(
    r"(?P<granule>(?:^|.*/)GRANULE/[^/]+)/IMG_DATA/(?:R\d\dm/)?\w*?_?(?P<band>B\d\d|B8A|SCL)(?:_(?P<metres>\d\d)m)?"
    r"\.jp2$"
)
_PLAIN = re.compile(
    r"(?P<scene>|(?:S2[A-D]_|(?:\w+_)?T\d{2}[A-Z]{3}_\d{8}T).*?)_?(?P<band>B\d{1,2}|B8A)(?:_(?P<metres>\d\d)m)?$"
)
Scales = dict[str, tuple[float, float]]


def is_safe(folder: Path) -> bool:
    """Whether a folder is a `.SAFE` product, which may have been renamed."""
    return folder.name.upper().endswith(".SAFE") or (folder / "GRANULE").is_dir()


def holds_safe(tree: Tree) -> bool:
    """Whether a tree has images of a `.SAFE` product."""
    return any(map(_IMAGE.match, tree.names))


def found_safe(tree: Tree) -> Found:
    """The product of a `.SAFE` folder or its zip, with the finest file of each band.

    Raises:
        BadInput: it has no bands, those of several tiles, or damaged metadata.
    """
    images = [match for name in tree.names if (match := _IMAGE.match(name))]
    granules = sorted({match["granule"] for match in images})
    if len(granules) != 1:
        found = f"{len(granules)} tiles" if granules else "no bands in GRANULE/*/IMG_DATA"
        advice = "give the band files of one tile joined by commas" if granules else "download it again"
        raise BadInput(tree.root, "product", found, "the bands of one tile of Sentinel-2", advice)
    finest = {match["band"]: match[0] for match in sorted(images, key=_metres, reverse=True)}
    name = tree.root.name
    if tree.zipped:
        name = next((part for part in PurePosixPath(granules[0]).parts if part.endswith(".SAFE")), name)
    if product := _PRODUCT.search(name):
        name = product[0]  # without the time of processing
    name = re.sub(r"(\.SAFE)?(\.zip)?$", "", name, flags=re.IGNORECASE)
    metadata = next(filter(None, map(_METADATA.search, tree.names)), None)
    scales, level = _from_metadata(tree, metadata, name) if metadata else (scales_by_name(name), level_of(name))
    names = names_of(SENSOR)
    scl = finest.pop("SCL", "")
    return Found(
        name=name,
        sensor=SENSOR,
        bands={names[own]: Band(tree.path(file), 1, scales.get(own)) for own, file in finest.items() if own in names},
        date=acquisition_date(tree.path(images[0][0])),
        level=level,
        quality=Quality(tree.path(scl), "scl") if scl else None,
        note=unscaled(name),
        metadata=() if tree.zipped or not metadata else (tree.path(metadata.string),),
    )


def scene_of(path: str) -> str | None:
    """The scene that a plain band file belongs to, empty where it is named by its band alone; None if it is none."""
    match = _PLAIN.match(PurePosixPath(file_name(path)).stem)
    return match["scene"] if match else None


def found_scene(files: list[str]) -> Found:
    """The product of plain band files of one scene, with the finest file of each band.

    Raises:
        BadInput: the scene classification next to them cannot be used.
    """
    parts = {path: match for path in files if (match := _PLAIN.match(PurePosixPath(file_name(path)).stem))}
    ordered = sorted(parts, key=lambda path: (parts[path]["metres"] or "", path), reverse=True)
    finest = {"B" + parts[path]["band"][1:].zfill(2): path for path in ordered}
    first, scene = files[0], parts[files[0]]["scene"]
    names, scales = names_of(SENSOR), scales_by_name(scene)
    suffix = Path(first).suffix
    scl = sibling(first, [f"{scene}_SCL{metres}{suffix}" for metres in ("_20m", "_10m", "_60m", "")]) if scene else ""
    return Found(
        name=scene or Path(first).parent.name,
        sensor=SENSOR,
        bands={names[own]: Band(file, 1, scales.get(own)) for own, file in finest.items() if own in names},
        date=acquisition_date(first),
        level=level_of(scene),
        quality=Quality(scl, "scl") if scl else None,
        note=unscaled(scene or Path(first).parent.name),
    )


def scales_by_baseline(baseline: float | None) -> Scales:
    """Factor and offset of each band; empty if the baseline is unknown. 99.99 stands for local processing."""
    if baseline is None or baseline > 99:
        return {}
    offset = OFFSET if baseline >= OFFSET_SINCE else 0.0
    return dict.fromkeys(SENSORS[SENSOR].values(), (1 / QUANTIFICATION, offset / QUANTIFICATION))


def scales_by_name(name: str) -> Scales:
    """As `scales_by_baseline`, by the baseline in a product's name."""
    match = _PRODUCT.search(name)
    return scales_by_baseline(int(match["baseline"]) / 100 if match else None)


def level_of(name: str) -> Level:
    """The level of the reflectance by a product's name."""
    match = _PRODUCT.search(name)
    return "" if match is None else "surface" if match["level"] == "2A" else "top of atmosphere"


def unscaled(name: str) -> str:
    """The warning where a baseline is unknown."""
    return f"{name}: stored values, since neither metadata nor name says the processing baseline, on which zero depends"


def _metres(image: re.Match[str]) -> tuple[str, str]:
    return image["metres"] or "", image[0]


def _from_metadata(tree: Tree, metadata: re.Match[str], name: str) -> tuple[Scales, Level]:
    """Factor and offset of each band by the metadata, completed by the baseline in the name; and the level."""
    shown = f"{tree.root}/{metadata.string}"
    values: dict[str, list[tuple[str, str]]] = {}
    for element in vrt.parse_bytes(shown, tree.read(metadata.string, LARGEST_XML)).iter():
        values.setdefault(element.tag.rpartition("}")[2], []).append((element.get("band_id", ""), element.text or ""))
    level_2 = metadata["level"] == "2A"
    quantification = values.get("BOA_QUANTIFICATION_VALUE" if level_2 else "QUANTIFICATION_VALUE", [])
    offsets = values.get("BOA_ADD_OFFSET" if level_2 else "RADIO_ADD_OFFSET", [])
    baselines = values.get("PROCESSING_BASELINE", [])
    scales = scales_by_baseline(_number(shown, *baselines[0])) if baselines else scales_by_name(name)
    divisor = _number(shown, *quantification[0]) if quantification else QUANTIFICATION
    if divisor <= 0:
        raise BadInput(shown, "QUANTIFICATION_VALUE", divisor, "a number above 0", "download the product again")
    owns = list(SENSORS[SENSOR].values())
    by_band = {int(band): _number(shown, band, text) for band, text in offsets if band.isdecimal()}
    for index, own in enumerate(owns):  # band_id counts B01 to B12 with B8A after B08
        stored = by_band.get(index, scales[own][1] * QUANTIFICATION if own in scales else None)
        if stored is not None:
            scales[own] = (1 / divisor, stored / divisor)
    return scales, "surface" if level_2 else "top of atmosphere"


def _number(shown: str, band: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        field = f"number of band {band}" if band else "number"
        raise BadInput(shown, field, text.strip()[:40] or "nothing", "a number", "download the product again")
    return value
