"""What the studies share: kept results, training lengths."""
