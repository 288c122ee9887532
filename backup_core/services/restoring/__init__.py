"""Kinds of restore beside the plain one.

choice          the options that every restore takes
single_files    one file of a backup, written to a stream
consistent_set  several configurations as of one time, in one act
browsing        a backup as a read-only WebDAV server on this machine
"""
