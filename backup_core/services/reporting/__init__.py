"""Reports for people and machines: what the backups take, how they fare, what is to be expected."""
