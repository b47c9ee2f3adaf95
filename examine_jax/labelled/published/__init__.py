"""Published medical sets in their authors' own layouts, one file a layout."""
