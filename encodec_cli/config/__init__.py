"""Configs of codecs: what YAML may say, checked, and the numbers that follow from it.

Frozen dataclasses without torch. The networks, the streams and the checkpoints read them; this
folder knows none of those.
"""
