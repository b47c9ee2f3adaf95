"""What the detection paper prints: tables I and II, figure 3, and readings of figure 4.

Source: Bencevic et al., arXiv:2206.00344. Its "AR" is recall without regard to classes, at 100
detections. Its figure 4 is read off the picture.
"""

# Table I by labelled share: mAP, mAP50, mAP small, AR, AR small, labelled images.
TABLE_1: dict[float, tuple[float, float, float, float, float, int]] = {
    1.0: (0.129, 0.278, 0.021, 0.412, 0.154, 3075),
    0.9: (0.142, 0.284, 0.026, 0.413, 0.156, 2767),
    0.8: (0.139, 0.292, 0.020, 0.412, 0.158, 2460),
    0.7: (0.130, 0.268, 0.014, 0.402, 0.146, 2152),
    0.6: (0.123, 0.272, 0.014, 0.394, 0.131, 1845),
    0.5: (0.109, 0.248, 0.011, 0.387, 0.131, 1537),
    0.4: (0.104, 0.230, 0.011, 0.378, 0.120, 1230),
    0.3: (0.095, 0.202, 0.007, 0.363, 0.108, 922),
    0.2: (0.081, 0.178, 0.006, 0.338, 0.089, 615),
    0.1: (0.060, 0.135, 0.003, 0.303, 0.064, 307),
}

# Table II: mean IoU and its deviation. The first pair of readers counts all pairs of boxes, the
# second one those above .2; the detectors' rows count the best of all detections, 0 where there is
# none. The three rules give numbers that do not compare.
READERS: dict[tuple[str, str], tuple[float, float]] = {
    ("R09", "R10"): (0.580, 0.284),
    ("R09", "R11"): (0.674, 0.149),
}
BEST_OVERLAP: dict[float, tuple[float, float]] = {
    1.0: (0.565, 0.309),
    0.9: (0.566, 0.309),
    0.8: (0.565, 0.308),
    0.7: (0.555, 0.312),
    0.6: (0.545, 0.316),
    0.5: (0.536, 0.319),
    0.4: (0.527, 0.324),
    0.3: (0.507, 0.331),
    0.2: (0.479, 0.336),
    0.1: (0.438, 0.343),
}

# Figure 3: training images of each class, as they are and with repetitions.
IMAGES_BY_CLASS: dict[str, tuple[int, int]] = {
    "Aortic enlargement": (2178, 3782),
    "Pleural thickening": (1560, 3183),
    "Pulmonary fibrosis": (1276, 2671),
    "Cardiomegaly": (1616, 2640),
    "Lung Opacity": (1057, 2490),
    "Pleural effusion": (843, 1997),
    "Other lesion": (885, 1977),
    "Nodule/Mass": (640, 1423),
    "Infiltration": (491, 1150),
    "Consolidation": (301, 926),
    "Calcification": (355, 763),
    "ILD": (314, 679),
    "Atelectasis": (161, 498),
    "Pneumothorax": (81, 324),
}

# Figure 4: AP by class and labelled share, read off the picture.
CLASS_AP: dict[tuple[str, float], float] = {
    ("Cardiomegaly", 1.0): 0.56,
    ("Cardiomegaly", 0.9): 0.573,
    ("Cardiomegaly", 0.1): 0.37,
    ("Aortic enlargement", 1.0): 0.483,
    ("Aortic enlargement", 0.9): 0.49,
    ("Aortic enlargement", 0.1): 0.395,
    ("Pleural effusion", 1.0): 0.19,
    ("Pleural effusion", 0.9): 0.215,
    ("Pleural effusion", 0.1): 0.02,
    ("Pneumothorax", 1.0): 0.045,
    ("Pneumothorax", 0.9): 0.18,
}
