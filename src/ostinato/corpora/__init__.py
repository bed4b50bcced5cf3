"""The bundled lyrics, as package data: `lyrics-zh.txt` and `lyrics-en.txt` (original songs, CC0)."""
