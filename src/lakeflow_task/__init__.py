"""What runs beside the user's code on a cluster: standard library only, Python 3.9 and newer."""

__version__ = "0.1.0"
