"""Sources of images, one file each: folder, array, TensorFlow Datasets, the sample."""
