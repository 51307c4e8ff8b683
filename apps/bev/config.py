"""Settings of the bird's-eye-view app, free of torch so that the command line's help is quick."""

from dataclasses import dataclass, field
from typing import Literal

from transect.apps.bev.models.config import ModelConfig
from transect.data_adapters.bev.config import CLASSES, PhantomConfig, ReadConfig, WriteConfig
from transect.data_adapters.settings import require


@dataclass(frozen=True)
class Config:
    """Settings of bird's-eye-view maps.

    Args:
        model: Which network maps images and their calibration to a map.
        read: How samples and labels are read.
        write: What is written of a prediction.
        phantom: What `transect phantom` writes.
        classes: What the map shows: any of "vehicle", "road" and "lane".
        precision: Floating-point format of prediction; auto takes bf16 where the hardware supports it.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    read: ReadConfig = field(default_factory=ReadConfig)
    write: WriteConfig = field(default_factory=WriteConfig)
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    classes: tuple[str, ...] = ("vehicle",)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        known = bool(self.classes) and set(self.classes) <= set(CLASSES) and len(set(self.classes)) == len(self.classes)
        require(known, "classes", self.classes, f"some of {', '.join(CLASSES)}, each once")
