"""The adapter of change detection: reads image pairs, writes GeoTIFF and GeoPackage."""

import logging
from pathlib import Path

from transect.data_adapters.change_detection.config import PhantomConfig, PolygonsConfig, ReadConfig
from transect.data_adapters.change_detection.coregistration import Coregistration
from transect.data_adapters.change_detection.facts import facts_of
from transect.data_adapters.change_detection.layouts import find_pairs
from transect.data_adapters.change_detection.maps import ChangeMap
from transect.data_adapters.change_detection.pairs import Pair, doubts
from transect.data_adapters.change_detection.phantom import write_phantom
from transect.data_adapters.change_detection.product_facts import unmasked
from transect.data_adapters.change_detection.products.comparable import comparable
from transect.data_adapters.change_detection.products.described import described
from transect.data_adapters.change_detection.qgis_styles import write_styles
from transect.data_adapters.change_detection.scene import Scene
from transect.data_adapters.change_detection.stac_item import write_item
from transect.data_adapters.change_detection.write import write_change_map

log = logging.getLogger("transect")


class ChangeAdapter:
    """Reads pairs of rasters as aligned scenes, with the settings of `config`, and writes change maps.

    Args:
        config: Settings of raster reading.
        phantom: Settings of synthetic pairs.
        polygons: Settings of the polygons of a change map.
    """

    columns: tuple[str, ...] = ("before", "after")
    unit = "pairs"

    def __init__(
        self, config: ReadConfig, phantom: PhantomConfig | None = None, polygons: PolygonsConfig | None = None
    ) -> None:
        self.config, self.phantom_config = config, phantom or PhantomConfig()
        self.polygons_config = polygons or PolygonsConfig()

    def cases(self, *inputs: str) -> list[Pair]:
        """The pairs of a folder, a CSV of pairs, or two rasters or products; see `find_pairs`."""
        return find_pairs(*inputs, config=self.config)

    def read(self, case: Pair) -> Scene:
        """The pair on the grid of its second date; pixels are read lazily."""
        if case.fault:
            raise case.fault
        sides = list(zip((case.before, case.after), case.products, strict=True))
        if self.config.names:
            sides = [side if side[1] or not side[0] else described(side[0], self.config) for side in sides]
        (before, first), (after, second) = sides
        products, _ = comparable((first, second))
        labels = case.label_set, case.cover
        return Scene.open(before, after, self.config, case.label, case.dates, case.coding, products, *labels)

    def write(self, case: Pair, prediction: ChangeMap, folder: Path, source: str) -> dict[str, float | str]:
        """Write the rasters and polygons, their QGIS styles and a STAC item; warn of doubtful inputs."""
        prediction.tags["TIFFTAG_SOFTWARE"] = source
        coregistration = Coregistration(prediction.grid)
        prediction.blocks = coregistration.observed(prediction.blocks)
        facts = write_change_map(prediction, folder, self.polygons_config) | prediction.facts
        write_styles(folder)
        write_item(folder, case.id, prediction)
        shift_facts, shift_warnings = coregistration.findings()
        facts |= shift_facts
        if warnings := [
            *_noted(case),
            *unmasked(case.products, self.config),
            *prediction.warnings,
            *shift_warnings,
        ]:
            facts["warnings"] = "; ".join(warnings)
            log.warning("%s: %s", case.id, facts["warnings"])
        return facts

    def check(self, case: Pair, sample: Scene, folder: Path | None) -> dict[str, float | str]:
        """Facts about the pair; see `facts_of`. Writes no files."""
        return facts_of(sample, _noted(case))

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` synthetic pairs in the layout of LEVIR-CD."""
        write_phantom(root, count, seed, self.phantom_config.hard)


def _noted(case: Pair) -> list[str]:
    """What the dates and the products of a pair make doubtful."""
    return [*doubts(case), *comparable(case.products)[1]]
