"""Measures of decoded audio against its original, for this codec and for others.

Sends recordings through real files (`pipeline`), so that rates are bytes on disk.
"""
