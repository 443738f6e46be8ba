"""The Open Inference Protocol, version 2, over HTTP, with its extension for binary tensors.

Invariant: what a client of that protocol is told is what `POST /predict` answers, to the bit.
"""
