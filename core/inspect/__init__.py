"""Inspection of attention in a model: maps, influence, head importance, and their plots."""

from transect.core.inspect.importance import head_importance
from transect.core.inspect.influence import influence
from transect.core.inspect.maps import AttentionMap, record
from transect.core.inspect.measures import entropy, mean_distance
from transect.core.inspect.pictures import attention_pictures, colours, heat_map, matrix, panels

__all__ = [
    "AttentionMap",
    "attention_pictures",
    "colours",
    "entropy",
    "head_importance",
    "heat_map",
    "influence",
    "matrix",
    "mean_distance",
    "panels",
    "record",
]
