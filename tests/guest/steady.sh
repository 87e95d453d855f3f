#!/bin/sh
# The program that watches a machine by checking itself (tests/guest/steady.c): does it notice what it is there for?
exec "$(dirname "$0")/../steady" --self-test
