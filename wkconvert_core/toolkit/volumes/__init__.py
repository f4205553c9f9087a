"""Volumes of formats such as NIfTI, whose files say how their axes lie in space: turned, scaled, inflated."""
