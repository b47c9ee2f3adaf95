"""What every room may use: atomic files, configuration, fingerprints, progress, the compilation cache."""
