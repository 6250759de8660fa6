"""What happens when the disk, the process or another thread fails in the middle: faults, and the laws about them."""
