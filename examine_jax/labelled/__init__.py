"""Tables of labels and groups, labelled sets, and their splits."""
