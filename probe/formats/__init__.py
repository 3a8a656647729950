"""Files of other programs, read as they are meant: tables as text, pickles without running them."""
