"""Readers and writers of each domain's own file formats; one folder a domain, `base` is their contract."""
