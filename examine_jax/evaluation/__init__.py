"""Evaluation of features, rankings and values: classifiers, metrics, curves and controls."""
