"""Model files: ours, those bundled with the package, downloads, and (`foreign`) other programs'.

Makes models from files and files from models; knows no audio and no streams.
"""
