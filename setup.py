from setuptools import find_packages, setup

# The example settings lie at the top of the repository and travel as a package of their own.
setup(packages=[*find_packages(include=["autox_video", "autox_video.*"]), "autox_video.configs"])
