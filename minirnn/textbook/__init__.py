"""The stages as plain loops, exactly as the papers define them.

Read these first. Each function has its fast twin of the same name elsewhere in the library, and tests
compare the two on drawn inputs. Nothing here imports the fast versions.
"""
