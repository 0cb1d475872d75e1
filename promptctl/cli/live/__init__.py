"""The live screen of `promptctl top`: the thread that reads, the keys, the terminal and the loop."""
