"""The mirror: a copy of what a learner elsewhere has published, on the predictor's own disk.

It has the layout of the learner's own directory, so that whatever follows that follows this too.
Invariant: nothing is under its final name that is not whole and what its name says, and nothing
older than what was there before.
"""
