"""A process per call: the request body is standard input, the answer is standard output."""

import os
import sys

name = sys.stdin.read().strip() or "whoever you are"
print(f"Hello, {name}! You came by {os.environ.get('Http_Method', 'hand')}.")
