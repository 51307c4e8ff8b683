"""Change between two images of one place: CDMaskFormer and siamese U-Nets on georeferenced pairs."""
