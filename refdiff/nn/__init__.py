"""The networks: pure functions of (p, inputs), one configuration at the top of each model file.

Letters: N batch, C I O channels, H W picture, L S tokens, D E widths, h d heads and their width.
"""
