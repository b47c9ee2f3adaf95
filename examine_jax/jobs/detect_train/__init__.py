"""The detector training job: images and boxes in, a detector and its page out."""
