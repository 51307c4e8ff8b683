"""Attention and its relatives on N-dimensional grids, each in the file of its published name."""

from core.attention.attend import attend
from core.attention.axial import AxialAttention
from core.attention.cross_window import CrossWindowAttention
from core.attention.deformable import MultiScaleDeformableAttention
from core.attention.few_query import FewQueryAttention
from core.attention.folded_cross import FoldedCrossAttention
from core.attention.neighborhood import NeighborhoodAttention
from core.attention.scene_axial import SceneAxialCrossAttention
from core.attention.selective_scan import SelectiveScan, TriPlaneScan
from core.attention.space_time import SpaceTimeAxialAttention
from core.attention.squeeze_axial import SqueezeAxialAttention
from core.attention.tied import TiedAttention
from core.attention.trajectory import AxialTrajectoryAttention
from core.attention.window import WindowAttention

__all__ = [
    "AxialAttention",
    "AxialTrajectoryAttention",
    "CrossWindowAttention",
    "FewQueryAttention",
    "FoldedCrossAttention",
    "MultiScaleDeformableAttention",
    "NeighborhoodAttention",
    "SceneAxialCrossAttention",
    "SelectiveScan",
    "SpaceTimeAxialAttention",
    "SqueezeAxialAttention",
    "TiedAttention",
    "TriPlaneScan",
    "WindowAttention",
    "attend",
]
