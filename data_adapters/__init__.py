"""Readers and writers of each domain's own file formats: one folder per domain; `base` defines their interface."""
