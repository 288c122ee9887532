"""Everything local is gone: an account's address and the key bring back clients, configurations, the list of backups,
history and recovery plans.

    discover    which repositories lie below a folder
    wishes      what is asked for, and what came of it
    decisions   from records and snapshots to clients and configurations, for this machine
    rebuild     the whole way: find, open, decide, put into the catalogue
"""
