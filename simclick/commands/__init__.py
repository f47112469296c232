"""Commands of the program, one module each: `add` puts it among the subparsers."""
