"""The error that means "your input", as opposed to "our bug"."""


class InputError(ValueError):
    """Something given from outside is wrong: an argument, a file, an image, an annotation.

    The message names what is wrong (argument, file, image id), what it is and what it should be.
    The command line prints it as one line; every other exception is a bug and keeps its traceback.
    """
