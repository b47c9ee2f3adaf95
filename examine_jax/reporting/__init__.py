"""Reports of a run: tables, charts and one self-contained HTML page.

This package imports nothing itself: tables need numpy, charts matplotlib, the page jinja2 and
Pillow.
"""
