#!/bin/sh
# Reverses its input and shouts it, a line at a time; needs nothing but POSIX awk.
exec awk '{ for (i = length($0); i > 0; i--) printf "%s", toupper(substr($0, i, 1)); print "" }'
