"""The keys of a configuration's repository: listing them, adding, taking away and replacing passwords."""
