"""Sources of images, one file each, and their registry."""
