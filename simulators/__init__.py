"""Streams made from data sets: scenarios of tasks, and their replay onto a broker.

Light to import: data sets, torchvision and scikit-learn are loaded by what needs them.
"""
