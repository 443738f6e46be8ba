"""What outlives a process: checkpoints to go on learning from, snapshots to serve."""
