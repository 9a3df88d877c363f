"""Tasks: the labels, head, loss and metrics of a kind of problem."""
