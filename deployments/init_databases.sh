#!/bin/sh
# Run once by the image of PostgreSQL, on an empty volume: a database each, and a user each who may use that one alone.
set -eu
for name in tuneyard prefect; do
  export PASSWORD_FILE="${SECRETS_DIR:-/run/secrets}/${name}_db_password"
  psql -v ON_ERROR_STOP=1 -v name="$name" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\set password `cat "$PASSWORD_FILE"`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
