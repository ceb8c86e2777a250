"""Spectra and filterbanks: of tensors, for metrics, pictures and losses; bands also of arrays."""
