"""The transformers of Blueprint, which convert properties to column values."""
