"""Speed as ratios: each benchmark sets something of SI Stream beside a baseline in one run.

A second on one machine is none on another, and neither is it on the same machine an hour later;
the ratio of two rounds taken one after the other moves little. `python -m benchmarks` runs them.
"""
