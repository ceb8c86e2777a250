"""The codec object: encoder, quantizer and decoder, and the precision that they run in.

Imports the networks (`nn`, `engine`) and their config; knows no files.
"""
