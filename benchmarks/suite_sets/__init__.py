"""Small synthetic data sets of the suite: `kinds` defines them, `files` writes them."""
