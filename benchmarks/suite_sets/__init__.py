"""Small data sets that the suite makes itself: `kinds` says which, `files` writes them."""
