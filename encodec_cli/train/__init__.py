"""Training: recipe, recordings, losses, one step, the loop around it. Imported by `cli` alone."""
