"""From an image to feature maps."""
