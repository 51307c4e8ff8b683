"""Reading of any rig of 1 to 8 cameras: `rig.yaml`, images or video, and KITTI calibrations."""
