"""Sources that wrap a Source: cropped, cast, downsampled."""
