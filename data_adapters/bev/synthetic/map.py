"""The map expansion of synthetic sites: the JSON of nuScenes, version 1.3."""

from collections.abc import Callable, Sequence
from typing import Any

from shapely import LineString, Polygon

from transect.data_adapters.bev.synthetic.streets import Site

LAYERS = (
    "polygon", "line", "node", "drivable_area", "road_segment", "road_block", "lane", "ped_crossing", "walkway",
    "stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light", "lane_connector",
)  # fmt: skip


def map_expansion(sites: Sequence[Site], token: Callable[..., str]) -> dict[str, Any]:
    """The map of all sites of one location.

    Args:
        sites: The sites.
        token: Makes a unique token of names and numbers.
    """
    return _Expansion(token).of(sites)


class _Expansion:
    """Collects records, whose tokens count up."""

    def __init__(self, token: Callable[..., str]) -> None:
        self.records: dict[str, list[dict[str, Any]]] = {name: [] for name in LAYERS}
        self.token = token

    def of(self, sites: Sequence[Site]) -> dict[str, Any]:
        for place in sites:
            areas = [self.polygon(area) for area in place.polygons["road_segment"]]
            self.add("drivable_area", polygon_tokens=areas)
            for area, polygon in zip(areas, place.polygons["road_segment"], strict=True):
                self.add("road_segment", polygon_token=area, is_intersection=polygon is place.crossing)
            for lane in place.polygons["lane"]:
                sides: dict[str, Any] = {"left_lane_divider_segments": [], "right_lane_divider_segments": []}
                self.add("lane", polygon_token=self.polygon(lane), lane_type="CAR", **sides)
            for name in ("ped_crossing", "walkway"):
                for polygon in place.polygons[name]:
                    self.add(name, polygon_token=self.polygon(polygon))
            for name, lines in place.lines.items():
                for line in lines:
                    self.add(name, line_token=self.line(line))
        ends = max((max(place.origin) for place in sites), default=0.0) + 400.0
        edge: dict[str, Any] = {"version": "1.3", "canvas_edge": [ends, ends], "arcline_path_3": {}, "connectivity": {}}
        return edge | self.records

    def add(self, layer: str, **values: Any) -> str:
        token = self.token(layer, len(self.records[layer]))
        self.records[layer].append({"token": token, **values})
        return token

    def polygon(self, shape: Polygon) -> str:
        holes = [{"node_tokens": self.nodes(ring.coords[:-1])} for ring in shape.interiors]
        return self.add("polygon", exterior_node_tokens=self.nodes(shape.exterior.coords[:-1]), holes=holes)

    def line(self, shape: LineString) -> str:
        return self.add("line", node_tokens=self.nodes(shape.coords))

    def nodes(self, points: Any) -> list[str]:
        return [self.add("node", x=float(point[0]), y=float(point[1])) for point in points]
