"""What runs. One flow a file; each reads as a short list of verbs."""
