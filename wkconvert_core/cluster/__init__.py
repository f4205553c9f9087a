"""Workers on other machines: a dask scheduler, or jobs of Slurm."""
