"""What people must be told without asking: from the catalogue alone, so that a server that is down keeps nobody silent.

records      what an alert says
conditions   which facts are alarming, and what to do about each; pure
facts        the facts, read from the catalogue
alerts       evaluating, telling what is new, reminding, and telling when all is well again
"""
