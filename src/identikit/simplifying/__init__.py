"""A model without what changes nothing: neutral layers stripped, affine ones folded together, every rewrite proved."""
