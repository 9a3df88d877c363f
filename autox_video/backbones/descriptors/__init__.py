"""Hand-crafted clip descriptors and their backbone spec."""
