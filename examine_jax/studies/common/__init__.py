"""What studies share: stored results, a control, the verdict, training lengths, settings rows."""
