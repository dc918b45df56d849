"""The database's four roles: one owns and cannot log in, one migrates, one serves, one is the notary's.

The separation is what makes append-only tables mean something: the service's role cannot alter, disable or
own anything it writes to, and neither the service nor the notary can do the other's part (audits.roles).
"""

SUPERUSER = "postgres"
DATABASE = "crivo"

ROLES_SQL = """
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['crivo_owner', 'crivo_migrator', 'crivo_app', 'crivo_notary'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I', wanted);
        END IF;
    END LOOP;
END $$;
-- Test databases are created as the migrator acting as the owner, hence CREATEDB on both.
ALTER ROLE crivo_owner NOLOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE crivo_migrator LOGIN CREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD '{migrator}';
ALTER ROLE crivo_app LOGIN NOCREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{app}';
ALTER ROLE crivo_notary LOGIN NOCREATEDB NOSUPERUSER NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '{notary}';
GRANT crivo_owner TO crivo_migrator;
-- Whatever a migration creates belongs to the owner, without every migration having to remember it.
ALTER ROLE crivo_migrator SET role = 'crivo_owner';
SELECT 'CREATE DATABASE crivo OWNER crivo_owner'
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'crivo')
\\gexec
REVOKE ALL ON DATABASE crivo FROM PUBLIC;
GRANT CONNECT ON DATABASE crivo TO crivo_app, crivo_notary;
"""
"""Idempotent, for psql (``\\gexec``); ``migrator``, ``app`` and ``notary`` are passwords without quotes."""
