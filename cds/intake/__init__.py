"""What laboratories send, whatever its form, becomes marker Observations in FHIR.

`hl7v2` and `tables` read; both give a `Delivery`, in which each result that was counted in the input is either sent on or
refused with a reason. What laboratories mean by their codes stands in `rules/labs/`.
"""
