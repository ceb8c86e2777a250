"""Meta's language model over codes (format 0): probabilities of the next frame, bit for bit."""
