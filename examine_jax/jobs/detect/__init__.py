"""The detection job: images and a detector in, boxes and their page out."""
