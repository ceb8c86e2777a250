"""Files to files: audio files to `.ecdc` and back, with the report of what was done.

Joins `audio`, `stream` and `container`. Raises errors and returns reports; prints nothing.
"""
