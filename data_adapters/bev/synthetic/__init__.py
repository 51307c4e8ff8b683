"""The world of synthetic drives: streets, traffic, the sensors of the vehicle, ray casting, and records of nuScenes."""
