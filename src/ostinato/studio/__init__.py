"""The studio: a page on this machine to train, write and look inside with, and the routes that it asks."""
