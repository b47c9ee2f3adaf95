"""Features that lie in files: .npy and Parquet, one file or a folder of shards, read a chunk at a time.

Nothing is imported here: .npy files need numpy alone, Parquet needs pyarrow.
"""
