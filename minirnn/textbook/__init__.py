"""The stages as plain loops, exactly as the papers define them.

Read these first. Each function has its fast twin elsewhere in the library, of the same name, which takes
the same arguments, and tests compare the two on drawn inputs. Nothing here imports the fast versions.
`detector` puts them together: the whole chain, from an image's pixels to its masks.
"""
