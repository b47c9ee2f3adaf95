"""What studies share: kept results, a control, the verdict, training lengths, rows of settings."""
