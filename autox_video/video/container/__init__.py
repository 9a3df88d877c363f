"""Read the streams, packets and timestamps of a video file."""
