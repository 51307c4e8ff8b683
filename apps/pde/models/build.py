"""The model that an app's settings ask for, from random weights or another's."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from transect.apps.pde.config import Config, State
from transect.apps.pde.models.config import ModelConfig
from transect.apps.pde.models.lora import add_lora, is_new, merged_state
from transect.apps.pde.models.morph import Morph
from transect.apps.pde.models.uniform_fields import UniformFields


def build(config: Config, state: State) -> nn.Module:
    """The model that an app's configuration asks for, with random weights.

    Raises:
        ValueError: it needs to know the fields of the data, and was not fitted to any.
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
    channels = sum(len(one.components) for one in state.fields)
    if model.name == "mesh_operator":
        from transect.apps.pde.models.mesh_operator import MeshOperator

        operator = replace(model.mesh_operator, parameters=parameters, constants=constants)
        return MeshOperator(operator, channels, len(state.axes), config.context)
    from transect.apps.pde.models.axial_operator import AxialOperator

    sizes = replace(model.axial_operator, parameters=parameters, constants=constants)
    return AxialOperator(sizes, channels, len(state.axes), config.context)


def has_mask(config: ModelConfig) -> bool:
    """Whether the model can do without values that are missing."""
    if config.name == "mesh_operator":
        return True
    return config.morph.mask_channel if config.name == "morph" else config.axial_operator.mask_channel


def warm_start(config: Config, state: State, weights: Mapping[str, Tensor]) -> nn.Module:
    """The model of `config` with the weights of another, whose low-rank updates are merged.

    What the other lacks must be an option that changes nothing at first, such as a field embedding.

    Raises:
        RuntimeError: other weights are missing, unknown or of another shape.
    """
    model = _plain(config, state)
    found = merged_state(weights)
    missing, unknown = model.load_state_dict(found, strict=False)
    lacking = [name for name in missing if not is_new(name)]
    if lacking or unknown:
        raise RuntimeError(
            f"weights: found {', '.join(unknown) or 'nothing more'}, missing {', '.join(lacking) or 'none'}"
        )
    return add_lora(model, config.lora)
