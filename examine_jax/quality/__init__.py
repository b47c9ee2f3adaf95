"""What pixels and features say about the usability of images."""
