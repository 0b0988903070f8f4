#!/bin/sh
# backup-proposed.sh DATABASE COPY
#
# Does what was proposed for the live demo: stop at the first failure, let SQLite copy, then delete copies of more than seven
# days. For measurements: what it does with a busy database is in docs/backup-scripts.md.
set -e

sqlite3 "$1" ".backup '$2'"
find "$(dirname "$2")" -type f -name '*.db' -mtime +7 -delete
