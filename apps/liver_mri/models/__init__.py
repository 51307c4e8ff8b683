"""Networks that segment a volume."""
