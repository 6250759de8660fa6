"""What stands for a layer instead of it, and what of it is learned from data."""
