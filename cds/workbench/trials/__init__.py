"""Trials of rules: on patients whose truth is known, under noise, over time, against another version of themselves."""
