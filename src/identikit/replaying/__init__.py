"""Many plans on the same batches, computing nothing twice: what stands before an edited layer is reused."""
