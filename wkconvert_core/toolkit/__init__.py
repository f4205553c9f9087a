"""Tools for authors of readers and writers beside the contract, on numpy alone."""
