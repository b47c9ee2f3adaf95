"""Logistic regression as scikit-learn defines it, many fits at once."""
