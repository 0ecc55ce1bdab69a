"""Ad accounts that are generated: documents, delivery, and changes planted over them."""
