"""The valuation job: features and labels in, values and a page out."""
