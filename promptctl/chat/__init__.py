"""A conversation with Claude through a prompt, and the file that keeps one."""
