"""The papers' studies, each of one shape: settings, study, page, published figures."""
