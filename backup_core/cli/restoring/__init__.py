"""Commands that get things back: single files, whole sets, and a look inside without restoring."""
