"""Build the model of a configuration, with random weights or starting from another model's."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from transect.apps.pde.config import Config, State
from transect.apps.pde.models.config import ModelConfig
from transect.apps.pde.models.lora import add_lora, is_new, merged_state
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.models.uniform_fields import UniformFields
from transect.data_adapters.settings import require

MOST_NODES = 1 << 22
"""Maximum number of nodes of the mesh operator's latent grid."""


def build(config: Config, state: State) -> nn.Module:
    """The model of a configuration, with random weights.

    Raises:
        ValueError: the model needs the fields of the data, and the state has none.
    """
    return add_lora(_plain(config, state), config.lora)


def _plain(config: Config, state: State) -> nn.Module:
    """The model without low-rank updates."""
    model = config.model
    parameters, constants = len(config.parameters), len(state.constant_names)
    if model.name == "morph":
        return UniformFields(Morph(replace(model.morph, parameters=parameters, constants=constants)))
    if not state.fields:
        raise ValueError(f"model.name: found {model.name} without fields, expected morph, or one data set to fit it to")
    channels = sum(len(field.components) for field in state.fields)
    if model.name == "mesh_operator":
        from transect.apps.pde.models.mesh_operator import MeshOperator

        nodes = model.mesh_operator.grid ** len(state.axes)
        require(nodes <= MOST_NODES, "mesh_operator.grid", model.mesh_operator.grid, f"{MOST_NODES} nodes or less")
        operator = replace(model.mesh_operator, parameters=parameters, constants=constants)
        return MeshOperator(operator, channels, len(state.axes), config.context)
    from transect.apps.pde.models.axial_operator import AxialOperator

    sizes = replace(model.axial_operator, parameters=parameters, constants=constants)
    return AxialOperator(sizes, channels, len(state.axes), config.context)


def has_mask(config: ModelConfig) -> bool:
    """Whether the model handles missing values by a mask."""
    if config.name == "mesh_operator":
        return True
    return config.morph.mask_channel if config.name == "morph" else config.axial_operator.mask_channel


def warm_start(config: Config, state: State, weights: Mapping[str, Tensor]) -> nn.Module:
    """The model of `config` with the weights of another, whose low-rank updates are merged.

    Weights that the other lacks must belong to options that are initially inactive, such as a field embedding.

    Raises:
        RuntimeError: any other weights are missing, unknown or of another shape.
    """
    model = _plain(config, state)
    missing, unknown = model.load_state_dict(merged_state(weights), strict=False)
    lacking = [name for name in missing if not is_new(name)]
    if lacking or unknown:
        raise RuntimeError(
            f"weights: found {', '.join(unknown) or 'nothing more'}, missing {', '.join(lacking) or 'none'}"
        )
    return add_lora(model, config.lora)
