"""What studies share: kept results, labelled images, controls, the verdict and the lengths of trainings."""
