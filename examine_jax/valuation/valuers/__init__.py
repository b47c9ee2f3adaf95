"""The valuers, one file each."""
