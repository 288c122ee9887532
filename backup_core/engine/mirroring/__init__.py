"""Copying snapshots from one repository to another, without reading the source of the backups again.

plan      what the other repository lacks, in rounds of whole snapshots
run       fetches, verifies, seals with the other key, sends, in the one write order
summary   what was done, and what it cost on both sides
"""
