"""Change detection between two georeferenced images: CDMaskFormer and siamese U-Nets."""
