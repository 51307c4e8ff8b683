"""Satellite products as inputs: folders, archives and STAC items, with what they say of their bands."""
