"""Published mistakes found in a model: one mistake a file, all of them read from recorded passes."""
