"""Every query, as literal SQL in the function that runs it, by subject."""
