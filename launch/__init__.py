"""Command-line scripts, thin: flags to frozen dataclasses to one library call."""
