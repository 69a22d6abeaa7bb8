"""Runnable assets: the local stack and the configuration of what runs around Headrace."""
