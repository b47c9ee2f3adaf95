"""Geometry of boxes, for static shapes: every function works under jit, vmap and grad.

Boxes are corners x_min, y_min, x_max, y_max in pixels, float32; there is no "+ 1". Rows that do not
exist are marked by a mask, never by their coordinates.
"""
