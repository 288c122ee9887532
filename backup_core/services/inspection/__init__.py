"""Looking into backups without restoring: names in many of them, two compared, one path through time.

Only trees are read, which the local cache holds; no file's content is downloaded.
"""
