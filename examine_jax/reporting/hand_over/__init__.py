"""The chosen images as files for the tools in which they are labelled: a module a format."""
