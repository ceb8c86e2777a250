"""Files that appear complete or not at all, standard streams, lists of files, text for terminals.

Knows nothing of audio or codes; imports no other folder.
"""
