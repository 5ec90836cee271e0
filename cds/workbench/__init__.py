"""For rule authors: what proves a rule before it meets a patient."""
