"""What happens between the steps and epochs of training."""
