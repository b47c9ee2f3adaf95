"""The training job: images in, a trained encoder and its page out."""
