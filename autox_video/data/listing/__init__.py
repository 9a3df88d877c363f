"""Read lists and folders of clips, and check clips and labels."""
