"""The command line: parse, call one function of the package, print its report, exit.

One command a file. The only folder that prints, exits and knows typer; nothing imports it.
"""
