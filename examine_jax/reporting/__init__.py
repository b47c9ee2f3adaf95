"""What a run leaves behind: tables, pictures and one self-contained HTML page.

Nothing is imported here: the tables need numpy alone, the pictures matplotlib, the page jinja2 and Pillow.
"""
