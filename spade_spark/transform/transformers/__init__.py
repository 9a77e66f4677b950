"""The transformers of Blueprint: from a property to the text of a column."""
