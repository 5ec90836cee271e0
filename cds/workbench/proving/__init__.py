"""Proof of rules: the tests beside them, what these cover, which mutants they kill, and the boundaries that nothing tests yet."""
