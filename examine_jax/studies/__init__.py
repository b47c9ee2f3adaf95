"""The papers' studies. All have the same files: settings, study, page, published figures."""
