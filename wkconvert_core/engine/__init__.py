"""The one loop that moves voxels, and the workers that run it."""
