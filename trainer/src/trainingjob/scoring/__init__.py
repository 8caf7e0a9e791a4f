"""Scores of evaluations and the best step; the same definition as in the operator, held together by shared vectors."""
