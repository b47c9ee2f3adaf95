"""Object detection: boxes and their geometry, Faster R-CNN, metrics, fusion of readers."""
