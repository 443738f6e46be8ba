"""Where one task ends and the next begins."""
