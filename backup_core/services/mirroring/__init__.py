"""Mirrors: second repositories with copies of a configuration's backups.

places      from a configuration and a mirror to the mirror's open repository, and to the copy of a backup in it
service     copies snapshots, remembers mirrors with their configuration, records each run
result      what a run did
"""
