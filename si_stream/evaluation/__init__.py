"""What a model still knows: accuracy while learning, afterwards, and per task."""
