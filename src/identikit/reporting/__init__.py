"""How results are shown: on the terminal, in Markdown, as a figure, as an HTML page. Takes results, never models."""
