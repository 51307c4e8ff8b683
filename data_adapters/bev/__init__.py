"""Camera rigs and bird's-eye-view labels: nuScenes, any rig described by a `rig.yaml`, and KITTI calibrations."""
