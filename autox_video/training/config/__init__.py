"""From a plan to an mmaction2 config, checked, and read again."""
