"""The EXAMINE paper's experiments on images of one's own, from one call: settings, sets, stages, page."""
