"""Does thinking again pay? Questions with known answers, put to several arms, and what came of it."""
