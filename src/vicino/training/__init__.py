"""Training as a user means it: data that is looked at, a baseline that is measured first, and a verdict at the end.

What knows tensors only is in `vicino.learning`; here texts meet networks, retrievers and judgements.
"""
