"""The ways to choose images, one file each. `registry` lists them."""
