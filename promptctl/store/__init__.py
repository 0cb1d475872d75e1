"""Every query, as literal SQL in the function that runs it, in one module per subject."""
