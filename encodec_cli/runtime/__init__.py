"""Codecs in numpy, without torch: the networks by blocks, the quantizer, the search for codes.

`protocol` says what an engine is; `engine` is this one, made from the plan of layers in `config`.
"""
