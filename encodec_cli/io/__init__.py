"""Files that appear complete or not at all, standard streams, lists of files, limits, text.

Imports no other folder, and reads no audio or codes.
"""
