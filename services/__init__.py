"""The processes of SI Stream and its command line; the only package that imports all others."""
