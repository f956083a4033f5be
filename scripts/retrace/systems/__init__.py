"""The systems of the papers, one package for each."""
