#!/bin/sh
# Makes the random passwords that docker-compose.yml wants, once; those that are there stay as they are.
# The folder is its owner's alone. The files can be read by all, that is by user 10001 in the containers they are mounted in.
set -eu
cd "$(dirname "$0")/.."
mkdir -p secrets
chmod 0700 secrets
for name in database_password broker_password; do
    if [ ! -s "secrets/$name" ]; then
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
        echo "made secrets/$name"
    fi
    chmod 0644 "secrets/$name"
done
