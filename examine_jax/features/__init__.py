"""Features on disk (.npy and Parquet, one file or a folder of shards), preprocessing, neighbours.

Nothing is imported here: .npy files need numpy alone, Parquet needs pyarrow.
"""
