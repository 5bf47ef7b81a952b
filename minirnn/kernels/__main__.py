"""`python -m minirnn.kernels` prints the table of docs/kernels.md."""

from minirnn.kernels.report import as_markdown

print(as_markdown())
