"""Files of predictions: JSON, CSV, Parquet and subtitles, chosen by the suffix of the path."""
