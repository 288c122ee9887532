"""What is kept and what goes: policies, cleanups, pruning, pins, and the hold after a run that looks like a disaster.

policy     from a configuration or options to the pure rules of ``format.retention``
cleanup    plans and carries out the forgetting of old backups
surplus    does so right after a backup, where a configuration wants that
pruning    gives back the room of data that no backup needs
pins       backups that stay whatever the rules say
holds      runs that look wrong, and the cleanups that wait until a person has looked
"""
