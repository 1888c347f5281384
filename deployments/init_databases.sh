#!/bin/sh
# Run once by the image of PostgreSQL, on an empty volume: a database each, and a user each who may use that one alone.
set -eu
secrets=${SECRETS_DIR:-/run/secrets}
for name in tuneyard prefect; do
  psql -v ON_ERROR_STOP=1 -v name="$name" -v password="$(cat "$secrets/${name}_db_password")" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
