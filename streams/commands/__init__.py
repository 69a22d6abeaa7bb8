"""The commands of `headrace`, a module a family: they parse, call a library function, and print."""
