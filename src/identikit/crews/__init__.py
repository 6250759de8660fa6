"""Who works out the values of a scan: one process, several, or several machines."""
