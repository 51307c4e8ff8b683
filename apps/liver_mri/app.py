"""The liver MRI app: windows of resampled volumes, blended and brought back to each volume's own grid."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from transect.apps.base import App, Contribution, Picture, View
from transect.apps.liver_mri.charts import charts
from transect.apps.liver_mri.config import AXES, AugmentConfig, Config, State
from transect.apps.liver_mri.dataset import TrainingWindows, WindowBatches, labelled
from transect.apps.liver_mri.figures import LiverPreview, volume_view
from transect.apps.liver_mri.inference import Windows, average, predict_flips, slabs, smallest_window
from transect.apps.liver_mri.metrics import LiverMetric
from transect.apps.liver_mri.models.build import build
from transect.apps.liver_mri.models.config import ModelConfig
from transect.apps.liver_mri.postprocess import fill_holes, largest_component
from transect.apps.liver_mri.prepare import prepare
from transect.apps.liver_mri.training_data import compared, learned, merged
from transect.data_adapters.base import Case
from transect.data_adapters.liver_mri.adapter import LiverAdapter
from transect.data_adapters.liver_mri.segmentation import Segmentation, Slab
from transect.data_adapters.settings import require, require_same
from transect.data_adapters.volume.cases import LabelledVolume, VolumeCase
from transect.data_adapters.volume.masks import Mask

OPENED = 64
"""Number of training volumes whose geometry is read."""


class LiverMRI(App[LabelledVolume, Segmentation]):
    """Segments the liver in MRI volumes."""

    def __init__(self, config: Config, state: State | None = None) -> None:
        super().__init__(config, state or State())
        self.config: Config
        self.state: State
        self.adapter: LiverAdapter = LiverAdapter(config.read, config.write, config.phantom)
        self.metric: LiverMetric = LiverMetric()

    @classmethod
    def from_published(cls, file: Path) -> tuple[Self, nn.Module]:
        """The app and model of a published SRMA-Mamba checkpoint, with its window, on the grid of each volume."""
        from transect.apps.liver_mri.weights import from_reference, load_reference

        state = load_reference(file)
        model = from_reference(state, source=file)
        sizes = ModelConfig(srma_mamba=model.config)
        config = Config(model=sizes, augment=AugmentConfig(flip=AXES), window=(224, 224, 64))
        return cls(config), model

    def fit(self, cases: Sequence[Case]) -> State:
        """The geometry of the training volumes, of which at most OPENED are read, and what else they have in common."""
        chosen = [cases[index] for index in np.unique(np.linspace(0, len(cases) - 1, OPENED).astype(int))]
        volumes = (self.adapter.read(case).volume for case in chosen if isinstance(case, VolumeCase))
        return learned(volumes, self.config.spacing, self.config.fast)

    def compare(self, sample: LabelledVolume) -> list[str]:
        """What the training volumes did not have: another modality, body part or extent, thicker slices."""
        return compared(sample.volume, self.state)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Voxel size of the working grid in mm; empty for that of each volume."""
        return self.state.spacing if self.config.spacing is None else self.config.spacing

    @property
    def window(self) -> tuple[int, int, int]:
        """Size of the windows in voxels: no larger than the training volumes need."""
        x, y, z = smallest_window(self.config.window, self.state.shape or self.config.window)
        return x, y, z

    def model(self) -> nn.Module:
        if self.state.resolution:
            fast = self.state.resolution == "fast"
            require(self.config.fast == fast, "fast", self.config.fast, f"{fast}, as the model was trained")
        return build(self.config.model)

    def dataset(self, cases: Sequence[Case]) -> TrainingWindows:
        return TrainingWindows(labelled(cases), self.adapter.read, self.spacing, self.window)

    def batch_sampler(self, dataset: Dataset[Any], size: int, seed: int) -> Sampler[list[int]]:
        """`windows_per_volume` windows of each volume per epoch, half of them centred on liver."""
        volumes = len(cast(TrainingWindows, dataset).cases)
        return WindowBatches(volumes, self.config.windows_per_volume, size, seed)

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        # Here, not above: MONAI takes seconds to import, and prediction does without it.
        from transect.apps.liver_mri.losses import augment, segmentation_loss

        image, label = batch["image"], batch["label"]
        if model.training:
            image, label = augment(image, label, self.config.augment)
        return segmentation_loss(model(image), label)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Biases, normalization and the decay rates of scans have no weight decay."""
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            plain = parameter.ndim < 2 or name.endswith((".A_log", ".D", "bias"))
            (others if plain else decayed).append(parameter)
        return [{"params": decayed}, {"params": others, "weight_decay_scale": 0.0}]

    def predict(self, model: nn.Module, sample: LabelledVolume) -> Segmentation:
        volume, config = sample.volume, self.config
        windows = Windows(self.window, config.overlap, config.windows_per_batch)
        axes = config.augment.flip if config.flip else ""

        def computed() -> Iterator[Slab]:
            image, working = prepare(volume, self.spacing)
            maps = predict_flips(model, image, windows, axes, config.precision, advance)
            del image
            yield from slabs(maps, working, volume.grid, bool(self.spacing), volume.name)

        def advance(done: float) -> None:
            prediction.progress = done

        prediction = Segmentation(volume, computed(), config.threshold, self.postprocess)
        return prediction

    def postprocess(self, mask: Mask) -> Mask:
        """The mask after the post-processing that the settings name."""
        if self.config.largest_component:
            mask = largest_component(mask)
        return fill_holes(mask) if self.config.fill_holes else mask

    @classmethod
    def ensemble(cls, members: Sequence[Self]) -> Self:
        """An ensemble, such as of the folds of a cross-validation; what is seen of training is that of all members."""
        require_same([member.config for member in members], "threshold", "largest_component", "fill_holes")
        return cls(members[0].config, merged([member.state for member in members]))

    def average(self, predictions: Sequence[Segmentation]) -> Segmentation:
        first = predictions[0]
        grids = [prediction.volume.grid for prediction in predictions]
        same = all(grid.matches(grids[0]) for grid in grids)
        require(same, "series", [prediction.volume.name for prediction in predictions], "the same for each member")

        def computed() -> Iterator[Slab]:
            for slab in average([prediction.slabs for prediction in predictions]):
                mean.progress = first.progress
                yield slab

        mean = replace(first, slabs=computed(), progress=0.0)
        return mean

    def preview(self, prediction: Segmentation, sample: LabelledVolume, labels: bool) -> LiverPreview:
        return LiverPreview(prediction, sample, labels)

    def views(self, prediction: Segmentation, sample: LabelledVolume, folder: Path) -> list[View]:
        return volume_view(prediction, folder)

    def charts(self, contributions: Sequence[Contribution]) -> dict[str, Picture]:
        return charts(contributions)
