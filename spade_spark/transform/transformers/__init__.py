"""The transformers of Blueprint, which convert properties to the texts of columns."""
