"""Measurements that show whether a ranking of images can be trusted."""
