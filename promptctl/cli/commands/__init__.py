"""One module per command or small family. The first line of a command's docstring is its summary in help."""
