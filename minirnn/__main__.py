"""`python -m minirnn` is `minirnn`."""

from minirnn.cli import main

if __name__ == "__main__":  # helper processes import this file, and must not start over
    main()
