"""The main job: images in, an illustrated ranking out."""
