"""What a layer costs: parameters, FLOPs, seconds, memory."""
