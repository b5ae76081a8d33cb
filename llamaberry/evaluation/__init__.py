"""Measure on questions with known answers whether refining pays: several arms answer the same questions."""
