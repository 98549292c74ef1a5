"""Benchmarks of facematch, one module a question; bench/search.py is the command line."""
