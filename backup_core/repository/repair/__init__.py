"""Making the best of a damaged repository: plan first, then run; what can be salvaged is, and what is lost is named.

index       the index lists what the packs hold that are there, whatever became of the index files
packs       what can still be read of damaged packs goes to new ones
snapshots   copies of damaged backups that hold what is left of them

In this order, with a full backup before the last one: it stores again what the source still has, which may make
snapshots whole again. All of it happens under an exclusive lock, in the write order of ``repository``: what replaces
something is on the server before that is removed. Interrupted, a repair is done again.
"""
