"""Disaster recovery: plans that are kept, tested without moving data, drilled in a scratch directory, and executed.

plans        keeping plans, by id or name
choice       which backup each step restores now
readiness    whether the plan could be executed now, found out without moving data
estimates    how long it would take, from the speeds of past restores
schedule     the order of a run: dependencies, parallel steps, what a failure stops
step_run     one step: commands, restore, commands, checks, each stage noted before it begins
acts         running commands and checks
runs         a whole run in the catalogue: begun, resumed, ended
drill        a run in a scratch directory
execution    the real thing
trend        the history of drills: objectives, first breach
reports      all of it for people
"""
