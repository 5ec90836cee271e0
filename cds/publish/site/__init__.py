"""A rule book as pages that anybody can read and check: what each rule asks, how it answers, on what it rests, who is behind it."""
