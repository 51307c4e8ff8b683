"""Attention and its relatives on N-dimensional grids, each in the file of its published name."""

from core.attention.attend import attend
from core.attention.axial import AxialAttention
from core.attention.deformable import MultiScaleDeformableAttention
from core.attention.few_query import FewQueryAttention
from core.attention.scene_axial import SceneAxialCrossAttention
from core.attention.squeeze_axial import SqueezeAxialAttention

__all__ = [
    "AxialAttention",
    "FewQueryAttention",
    "MultiScaleDeformableAttention",
    "SceneAxialCrossAttention",
    "SqueezeAxialAttention",
    "attend",
]
