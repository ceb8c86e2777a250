"""Neural audio coding: SEANet + RVQ models, `.ecdc` files, and the command line over both."""

__version__ = "0.1.0"
