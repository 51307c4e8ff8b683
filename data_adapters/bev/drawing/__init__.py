"""Pictures of a sample: camera images with what lies on the ground drawn in, and the map around the vehicle."""
