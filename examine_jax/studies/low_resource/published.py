"""What the low-resource paper prints: tables 1 to 3. Figure 3 has no numbers but table 2's."""

SETS = ("breast", "colorectal", "pneumonia")
IMAGENET = "ImageNet transfer"

# Table 1: "optimal hyperparameters for linear evaluation", (batch size, learning rate).
BEST_SETTINGS: dict[tuple[str, str], tuple[int, float]] = {
    ("breast", "dcl"): (16, 0.01),
    ("breast", "simclr"): (16, 0.01),
    ("breast", "simsiam"): (16, 0.01),
    ("breast", "vicreg"): (16, 0.005),
    ("colorectal", "dcl"): (16, 0.01),
    ("colorectal", "simclr"): (16, 0.005),
    ("colorectal", "simsiam"): (16, 0.01),
    ("colorectal", "vicreg"): (16, 0.005),
    ("pneumonia", "dcl"): (64, 0.5),
    ("pneumonia", "simclr"): (64, 0.1),
    ("pneumonia", "simsiam"): (16, 0.01),
    ("pneumonia", "vicreg"): (16, 0.01),
}

# Table 2: kNN at a batch of 64, (accuracy, weighted F1).
KNN_BATCH = 64
KNN: dict[tuple[str, str], tuple[float, float]] = {
    ("breast", "dcl"): (0.837, 0.829),
    ("breast", "simclr"): (0.835, 0.828),
    ("breast", "simsiam"): (0.842, 0.836),
    ("breast", "vicreg"): (0.838, 0.831),
    ("colorectal", "dcl"): (0.796, 0.795),
    ("colorectal", "simclr"): (0.792, 0.790),
    ("colorectal", "simsiam"): (0.746, 0.739),
    ("colorectal", "vicreg"): (0.784, 0.780),
    ("pneumonia", "dcl"): (0.771, 0.759),
    ("pneumonia", "simclr"): (0.766, 0.748),
    ("pneumonia", "simsiam"): (0.715, 0.676),
    ("pneumonia", "vicreg"): (0.787, 0.773),
}

# Table 3: the two-layer probe at table 1's settings, (accuracy, weighted F1).
PROBE: dict[tuple[str, str], tuple[float, float]] = {
    ("breast", "dcl"): (0.939, 0.939),
    ("breast", "simclr"): (0.925, 0.924),
    ("breast", "simsiam"): (0.908, 0.907),
    ("breast", "vicreg"): (0.939, 0.939),
    ("breast", IMAGENET): (0.916, 0.915),
    ("colorectal", "dcl"): (0.921, 0.921),
    ("colorectal", "simclr"): (0.874, 0.874),
    ("colorectal", "simsiam"): (0.898, 0.898),
    ("colorectal", "vicreg"): (0.915, 0.915),
    ("colorectal", IMAGENET): (0.911, 0.910),
    ("pneumonia", "dcl"): (0.790, 0.773),
    ("pneumonia", "simclr"): (0.761, 0.734),
    ("pneumonia", "simsiam"): (0.776, 0.754),
    ("pneumonia", "vicreg"): (0.817, 0.806),
    ("pneumonia", IMAGENET): (0.798, 0.775),
}
