"""What surrounds an estimator: each step is fitted on training rows and kept with the probe."""
