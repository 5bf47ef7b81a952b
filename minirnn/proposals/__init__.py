"""Where in the image might something be: proposals of a network, or given ones."""
