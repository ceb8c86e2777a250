"""What is installed and what works, for `doctor`."""
