"""BYOL-TracIn's study: pre-training, fine-tuning on few labels, transfer (Zeng et al., MICCAI 2023)."""
