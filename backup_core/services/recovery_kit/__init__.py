"""A page for the day on which the machine, and those who know it, are away.

facts    what has to be written down: where, which account, which key, by which commands
recipes  the commands, for this program and for plain restic
page     all of it as one self-contained HTML file that prints well
"""
