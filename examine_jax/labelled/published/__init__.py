"""Published medical sets as their authors hand them out."""
