#!/bin/sh
# Prefect reads no secret files: each PREFECT_…_FILE is read here, and the program alone has what it holds.
set -eu
for name in $(env | sed -n 's/^\(PREFECT_[A-Z_]*\)_FILE=.*/\1/p'); do
  eval "file=\$${name}_FILE"
  value=$(cat "$file")
  export "$name=$value"
  unset "${name}_FILE"
done
exec "$@"
