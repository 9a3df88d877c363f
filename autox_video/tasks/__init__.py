"""Tasks, each of which defines the labels, head, loss and metrics of one kind of problem."""
