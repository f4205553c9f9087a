"""What authors of readers and writers need beside the contract, on numpy alone."""
