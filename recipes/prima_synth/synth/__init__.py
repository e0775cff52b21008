"""What the bundled model is trained with and Prima is not: further objectives, pairs of studies, first weights."""
