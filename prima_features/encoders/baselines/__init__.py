"""Two encoders without trained weights, which every trained one should beat: intensities, and facts of acquisition."""
