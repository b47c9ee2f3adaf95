"""The valuation job: features and labels in, a table with one value per row and valuer out, and its
page.
"""
