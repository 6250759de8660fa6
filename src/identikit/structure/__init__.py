"""How a model is built, read from one watched forward pass: calls, streams, roles, places."""
