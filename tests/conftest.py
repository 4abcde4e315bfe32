"""What is printed has the width of a file in all tests, wherever they are started: `-s` in a terminal has its own."""

import os

os.environ["COLUMNS"] = "100"
