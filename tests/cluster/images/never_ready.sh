#!/bin/sh
# Stands for a speaker that starts and never gets ready.
trap 'exit 0' TERM INT
echo "never ready"
while :; do
    sleep 1 &
    wait $!
done
