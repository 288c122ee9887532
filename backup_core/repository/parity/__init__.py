"""Parity beside a repository: made after packs are stored, used when packs are damaged or lost.

Parity is the last thing that is written and never the only one that anything relies on: packs → index → snapshot →
parity. It lies in a directory that programs of the format do not know, and may be deleted at any time.
"""
