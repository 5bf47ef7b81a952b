"""What is decided about a region: its class, its box, its mask, its keypoints."""
