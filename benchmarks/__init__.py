"""Measurements of models against references and named peers."""
