"""Is all well? Looks at servers, repositories and the age of backups, and changes nothing.

records      what a check and a report say
objectives   how old the newest backup of a configuration may be
checks       the checks of one open repository
health       all configurations and their mirrors
"""
