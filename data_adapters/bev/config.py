"""Settings of reading rigs, writing maps and phantoms; imports no numpy, so that `--help` stays fast."""

from dataclasses import dataclass, field

from transect.data_adapters.bev.grid import Grid
from transect.data_adapters.settings import require, require_at_most

CLASSES = ("vehicle", "road", "lane")
"""What maps can show. "lane" is the lane and road dividers."""


@dataclass(frozen=True)
class ReadConfig:
    """How samples and their labels are read.

    Images are resized to `width` with their aspect kept; rows above the last `height` are cropped. A shorter image gets
    black rows on top.

    Args:
        height: Rows of the images that the network is given.
        width: Their columns.
        grid: Pixels of the labels and predictions.
        version: Version of a nuScenes folder, such as "v1.0-mini"; empty where there is one alone.
        cameras: Names of the cameras to read; none for all.
        max_time_offset: Largest time between a camera and the lidar of its nuScenes sample, ms.
    """

    height: int = 224
    width: int = 480
    grid: Grid = field(default_factory=Grid)
    version: str = ""
    cameras: tuple[str, ...] = ()
    max_time_offset: float = 250.0

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            require(getattr(self, name) >= 32, f"read.{name}", getattr(self, name), "32 or more")
        require_at_most(self, "read.", height=2048, width=4096)
        require(self.max_time_offset > 0, "read.max_time_offset", self.max_time_offset, "above 0")


@dataclass(frozen=True)
class WriteConfig:
    """What is written of a prediction in addition to its arrays, maps and montage.

    Args:
        north_up: Write the GeoTIFF resampled to rows of one northing; otherwise on the map's own turned grid.
    """

    north_up: bool = False


@dataclass(frozen=True)
class PhantomConfig:
    """Synthetic drives in the layout of nuScenes.

    Args:
        height: Rows of the camera images.
        width: Their columns.
        samples: Key frames of a drive.
    """

    height: int = 225
    width: int = 400
    samples: int = 4

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            require(getattr(self, name) >= 32, f"phantom.{name}", getattr(self, name), "32 or more")
        require(self.samples >= 1, "phantom.samples", self.samples, "1 or more")
        require_at_most(self, "phantom.", height=1080, width=1920, samples=1000)
