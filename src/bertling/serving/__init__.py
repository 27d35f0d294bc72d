"""Exported models behind HTTP: Starlette, uvicorn and prometheus-client over a predictor; no torch."""
