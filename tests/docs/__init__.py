"""The pages of docs/ are run: page.py reads and runs them, test_page.py proves that it can say no."""
