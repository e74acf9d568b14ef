"""One module for each group of endpoints; each has a table `ROUTES`, joined in `server.py`."""
