"""A whole run: from texts or records to a saved model. Importing it does not import torch; its modules do."""
