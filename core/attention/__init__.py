"""Attention mechanisms on N-dimensional grids, one file each, named as in the literature."""

from transect.core.attention.attend import attend
from transect.core.attention.axial import AxialAttention
from transect.core.attention.cross_window import CrossWindowAttention
from transect.core.attention.deformable import MultiScaleDeformableAttention
from transect.core.attention.few_query import FewQueryAttention
from transect.core.attention.folded_cross import FoldedCrossAttention
from transect.core.attention.neighborhood import NeighborhoodAttention
from transect.core.attention.scene_axial import SceneAxialCrossAttention
from transect.core.attention.selective_scan import SelectiveScan, TriPlaneScan
from transect.core.attention.space_time import SpaceTimeAxialAttention
from transect.core.attention.squeeze_axial import SqueezeAxialAttention
from transect.core.attention.tied import TiedAttention
from transect.core.attention.trajectory import AxialTrajectoryAttention
from transect.core.attention.window import WindowAttention

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
