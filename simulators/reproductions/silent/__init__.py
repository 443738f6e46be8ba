"""Silent boundaries: tasks that nobody announces, beside the same stream told its boundaries."""
