"""Reproductions: what is claimed of the learner, run again and written down.

Each is a number of runs, a record for each run, and a summary and pictures that are made from the
records alone. Light to import: torch and data sets are loaded by the processes that run.
"""
