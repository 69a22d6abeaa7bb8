"""`make demo`: all of Headrace on this machine, serving a simulated storefront."""
