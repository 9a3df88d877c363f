"""Read the streams, packets and time stamps of a video file."""
